// Package mamba2 is the Mamba-2 language model (arXiv 2405.21060) as in Stuffed Mamba (arXiv 2410.07145, section 2). A layer
// changes the residual stream r by
//
//	z, x, B, C, dt = W_in norm(r)      x, B, C ← SiLU(conv(x, B, C))      Δ = softplus(dt + dt_bias)      α = exp(−exp(A_log) Δ)
//	h_t = α_t h_{t−1} + Δ_t x_t B_tᵀ      y_t = h_t C_t + D x_t      r ← r + W_out norm(y ⊙ SiLU(z))
//
// where heads share B and C by groups and package recurrence computes h and h C.
package mamba2

import (
	"fmt"
	"math"
	"strings"

	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model. Δ is clamped to [DeltaMin, DeltaMax]; DeltaMax 0 means no upper limit.
type Config struct {
	Layers     int     `json:"layers"`
	Width      int     `json:"width"`
	HeadDim    int     `json:"head_dim"`
	State      int     `json:"state"`
	Groups     int     `json:"groups"`
	Expand     int     `json:"expand"`
	Kernel     int     `json:"kernel"`
	Vocab      int     `json:"vocab"`
	Eps        float64 `json:"eps"`
	UseBias    bool    `json:"use_bias"`
	ConvBias   bool    `json:"conv_bias"`
	Tied       bool    `json:"tied"`
	NormPer    bool    `json:"norm_per_group"` // gated norm per group (mamba_ssm, transformers from 5.23 on) or over all channels (before)
	DeltaMin   float64 `json:"delta_min"`
	DeltaMax   float64 `json:"delta_max"`
	InitDelta  Range   `json:"init_delta"` // softplus(dt_bias) at initialisation, log-uniform
	InitFloor  float64 `json:"init_delta_floor"`
	InitA      Range   `json:"init_a"` // −A at initialisation, uniform
	Chunk      int     `json:"chunk"`
	InitLinear float64 `json:"init_linear,omitempty" hash:"unless-default"` // above 0: linear layers are drawn from N(0, init_linear²), out-projections divided by √(2 · layers), as GPT-2's
}

// Range is a closed interval.
type Range struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func (r Range) positive() bool { return r.Low > 0 && r.High >= r.Low && !math.IsInf(r.High, 0) }

// Default is the official model's shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Layers: layers, Width: width, HeadDim: 64, State: 128, Groups: 1, Expand: 2, Kernel: 4, Vocab: vocab,
		Eps: 1e-5, ConvBias: true, Tied: true, NormPer: true, InitDelta: Range{1e-3, 0.1}, InitFloor: 1e-4, InitA: Range{1, 16}, Chunk: 64}
}

// neoxRows is the GPT-NeoX vocabulary of 50,277 padded to a multiple of 16, as the official models have it.
const neoxRows = 50288

var presets = map[string]Config{
	"130m": Default(768, 24, neoxRows), "370m": Default(1024, 48, neoxRows), "780m": Default(1536, 48, neoxRows),
	"1.3b": Default(2048, 48, neoxRows), "2.7b": Default(2560, 64, neoxRows),
	// Stuffed Mamba, Table 2; 130m, 370m and 780m are the official shapes.
	"36.4m": Default(512, 6, neoxRows), "47.0m": Default(512, 12, neoxRows), "84.6m": Default(768, 12, neoxRows),
	"byte": Default(128, 2, 272),
}

// Preset returns a named configuration: 130m 370m 780m 1.3b 2.7b (official), 36.4m 47.0m 84.6m (with the first three:
// Table 2 of the paper), byte (the quickstart's).
func Preset(name string) (Config, error) {
	c, ok := presets[strings.ToLower(name)]
	if !ok {
		return Config{}, fmt.Errorf("preset %q: unknown; choose one of %s", name, strings.Join(Presets(), ", "))
	}
	return c, nil
}

// Presets lists the names in order of size.
func Presets() []string {
	return []string{"byte", "36.4m", "47.0m", "84.6m", "130m", "370m", "780m", "1.3b", "2.7b"}
}

// Inner is the width of x and z.
func (c Config) Inner() int { return c.Expand * c.Width }

// Heads is the number of heads of a layer.
func (c Config) Heads() int { return c.Inner() / c.HeadDim }

// Channels is the width of the convolution: x, B and C.
func (c Config) Channels() int { return c.Inner() + 2*c.Groups*c.State }

func (c Config) projection() int { return c.Inner() + c.Channels() + c.Heads() }

// Validate names the first field out of range.
func (c Config) Validate() error {
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"layers", c.Layers, 1, 512}, {"width", c.Width, 1, 65536}, {"head_dim", c.HeadDim, 1, 65536}, {"state", c.State, 1, 65536},
		{"groups", c.Groups, 1, 65536}, {"expand", c.Expand, 1, 64}, {"kernel", c.Kernel, 2, 64}, {"vocab", c.Vocab, 2, 1 << 20},
		{"chunk", c.Chunk, 1, 4096},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("config: %s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	switch {
	case c.Inner()%c.HeadDim != 0:
		return fmt.Errorf("config: head_dim = %d must divide expand × width = %d", c.HeadDim, c.Inner())
	case c.Heads()%c.Groups != 0:
		return fmt.Errorf("config: groups = %d must divide the %d heads", c.Groups, c.Heads())
	case !(c.Eps > 0 && c.Eps < 1):
		return fmt.Errorf("config: eps = %g is outside (0, 1)", c.Eps)
	case !(c.DeltaMin >= 0) || math.IsInf(c.DeltaMin, 0):
		return fmt.Errorf("config: delta_min = %g must be finite and at least 0", c.DeltaMin)
	case c.DeltaMax != 0 && !(c.DeltaMax > c.DeltaMin) || math.IsInf(c.DeltaMax, 0):
		return fmt.Errorf("config: delta_max = %g must be finite and above delta_min = %g, or 0 for no limit", c.DeltaMax, c.DeltaMin)
	case !c.InitDelta.positive():
		return fmt.Errorf("config: init_delta = %v must be a finite interval above 0", c.InitDelta)
	case !(c.InitFloor >= 0) || math.IsInf(c.InitFloor, 0):
		return fmt.Errorf("config: init_delta_floor = %g must be finite and at least 0", c.InitFloor)
	case !(c.InitLinear >= 0) || math.IsInf(c.InitLinear, 0):
		return fmt.Errorf("config: init_linear = %g must be finite and at least 0", c.InitLinear)
	case !c.InitA.positive():
		return fmt.Errorf("config: init_a = %v must be a finite interval above 0", c.InitA)
	}
	return nil
}

func (c Config) deltaMax() float64 {
	if c.DeltaMax == 0 {
		return math.Inf(1)
	}
	return c.DeltaMax
}

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Architecture is the name in the registry.
func (c Config) Architecture() string { return "mamba2" }

// Sizes are what tables and reports say of the model.
func (c Config) Sizes() lm.Sizes {
	recurrent, carried := c.StateSize()
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads(), State: c.State, Recurrent: recurrent, Carried: carried}
}

// WithVocab is the configuration with another vocabulary.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New is the model.
func (c Config) New() (lm.Model, error) { return New(c) }

func init() {
	lm.Register(lm.Architecture{Name: "mamba2", About: "Mamba-2, arXiv 2405.21060", Unnamed: true,
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: Presets(),
		Preset: func(name string) (lm.Config, error) { return Preset(name) }})
}

// StateSize is the number of scalars of the state of one sequence: recurrent, and with the kernel − 1 cached columns
// of the convolution, which is how the paper's Table 2 counts.
func (c Config) StateSize() (recurrent, withConvolution int) {
	recurrent = c.Layers * c.Inner() * c.State
	return recurrent, recurrent + c.Layers*(c.Kernel-1)*c.Channels()
}
