// Package deltanet is DeltaNet (arXiv 2406.06484) in the layout of flash-linear-attention: per head
//
//	S ← S + k (β (v − kᵀ S))      y = Sᵀ q / √K
//
// with q, k, v from short convolutions, q and k normalised, β = σ(W_b x), and out = W_o · norm(y).
package deltanet

import (
	"fmt"
	"slices"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	fla.Outline
	Heads      int     `json:"num_heads"`
	ExpandK    float64 `json:"expand_k"`
	ExpandV    float64 `json:"expand_v"`
	Kernel     int     `json:"conv_size"`
	Convolve   bool    `json:"use_short_conv"`
	Activation string  `json:"qk_activation"` // of q and k: silu, relu, elu (elu(x) + 1) or identity; v has SiLU
	Norm       string  `json:"qk_norm"`       // l2 or sum, that of the entries; flash-linear-attention from 0.6.0 on takes magnitudes, the same for relu and elu
	UseBeta    bool    `json:"use_beta"`      // else β is 1
	Negative   bool    `json:"allow_neg_eigval"`
	Gate       bool    `json:"use_gate"`
}

// Default returns the published shape with the given width, layers and vocabulary, and heads of 64.
func Default(width, layers, vocab int) Config {
	return Config{Outline: fla.Default(width, layers, vocab), Heads: max(1, width/64), ExpandK: 1, ExpandV: 1, Kernel: 4, Convolve: true,
		Activation: "silu", Norm: "l2", UseBeta: true}
}

// Key is the size of a head's key.
func (c Config) Key() int { return int(float64(c.Width)*c.ExpandK) / c.Heads }

// Value is the size of a head's value.
func (c Config) Value() int { return int(float64(c.Width)*c.ExpandV) / c.Heads }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if err := c.Outline.Validate(); err != nil {
		return err
	}
	if err := fla.Ranges(fla.Range{Name: "num_heads", Value: c.Heads, Lo: 1, Hi: 65536}, fla.Range{Name: "conv_size", Value: c.Kernel, Lo: 2, Hi: 64}); err != nil {
		return err
	}
	for name, expand := range map[string]float64{"expand_k": c.ExpandK, "expand_v": c.ExpandV} {
		if width := int(float64(c.Width) * expand); !(expand > 0 && expand < 64) || width < 1 || width%c.Heads != 0 {
			return fmt.Errorf("config: %s = %g: %d heads must divide expand × hidden_size = %d", name, expand, c.Heads, width)
		}
	}
	if !slices.Contains([]string{"silu", "relu", "elu", "identity"}, c.Activation) {
		return fmt.Errorf("config: qk_activation = %q must be silu, relu, elu or identity", c.Activation)
	}
	if c.Norm != "l2" && c.Norm != "sum" {
		return fmt.Errorf("config: qk_norm = %q must be l2 or sum", c.Norm)
	}
	return nil
}

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 32000)
	c.Heads = 16
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) { return fla.Keys(c, Kind, "DeltaNetForCausalLM") }

// Kind is model_type in config.json.
const Kind = "delta_net"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "deltanet" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Heads * c.Key() * c.Value()
	carried := recurrent
	if c.Convolve {
		carried += c.Layers * (c.Kernel - 1) * c.Heads * (2*c.Key() + c.Value())
	}
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, State: c.Key(), Recurrent: recurrent, Carried: carried}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "deltanet", About: "DeltaNet, arXiv 2406.06484",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
