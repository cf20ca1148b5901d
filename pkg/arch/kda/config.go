// Package kda is Kimi Delta Attention (arXiv 2510.26692) in the layout of flash-linear-attention: Gated DeltaNet with a
// decay for every key channel, per head
//
//	S ← diag(α) S      S ← S + k (β (v − kᵀ S))      y = Sᵀ q / √K      log α = −exp(A_log) softplus(W_f x + dt_bias)
//
// with q, k, v from short convolutions, q and k normalised, β = σ(W_b x), and out = W_o (norm(y) ⊙ σ(W_g x)); W_f and W_g
// are products of two narrow matrices.
package kda

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	fla.Outline
	Heads      int     `json:"num_heads"`
	ValueHeads int     `json:"num_v_heads"` // 0 (null): as many; else each of the heads' q and k serves several
	Key        int     `json:"head_dim"`
	ExpandV    float64 `json:"expand_v"` // size of a head's value over that of its key
	Kernel     int     `json:"conv_size"`
	Convolve   bool    `json:"use_short_conv"`
	Negative   bool    `json:"allow_neg_eigval"`
	Bound      float64 `json:"lower_bound"` // below 0: log α = bound · σ(exp(A_log) (W_f x + dt_bias)) instead; 0 (null): no bound
}

// Default returns a model of the given width, layers and vocabulary, and heads of 64.
func Default(width, layers, vocab int) Config {
	return Config{Outline: fla.Default(width, layers, vocab), Heads: max(1, width/64), Key: 64, ExpandV: 1, Kernel: 4, Convolve: true}
}

// Values is the number of value heads, each of which has a state.
func (c Config) Values() int {
	if c.ValueHeads > 0 {
		return c.ValueHeads
	}
	return c.Heads
}

// Value is the size of a head's value.
func (c Config) Value() int { return int(float64(c.Key) * c.ExpandV) }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if err := c.Outline.Validate(); err != nil {
		return err
	}
	switch err := fla.Ranges(fla.Range{Name: "num_heads", Value: c.Heads, Lo: 1, Hi: 65536}, fla.Range{Name: "head_dim", Value: c.Key, Lo: 1, Hi: 65536},
		fla.Range{Name: "conv_size", Value: c.Kernel, Lo: 2, Hi: 64}, fla.Range{Name: "num_v_heads", Value: c.ValueHeads, Lo: 0, Hi: 65536}); {
	case err != nil:
		return err
	case c.Values()%c.Heads != 0:
		return fmt.Errorf("config: num_v_heads = %d must be a multiple of num_heads = %d", c.ValueHeads, c.Heads)
	case !(c.Bound <= 0 && c.Bound > -1e3):
		return fmt.Errorf("config: lower_bound = %g must be below 0, or null for none", c.Bound)
	case !(c.ExpandV > 0 && c.ExpandV < 64) || c.Value() < 1:
		return fmt.Errorf("config: expand_v = %g must give values of at least 1 entry from keys of %d", c.ExpandV, c.Key)
	}
	return nil
}

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 32000)
	c.Heads, c.Key = 16, 128
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) { return fla.Keys(c, Kind, "KDAForCausalLM") }

// Kind is model_type in config.json.
const Kind = "kda"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "kda" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Values() * c.Key * c.Value()
	carried := recurrent
	if c.Convolve {
		carried += c.Layers * (c.Kernel - 1) * (2*c.Heads*c.Key + c.Values()*c.Value())
	}
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Values(), State: c.Key, Recurrent: recurrent, Carried: carried}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "kda", About: "Kimi Delta Attention, arXiv 2510.26692",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
