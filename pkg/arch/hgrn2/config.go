// Package hgrn2 is HGRN-2 (arXiv 2404.07904) in the layout of flash-linear-attention: per head, with a forget gate of every key,
//
//	a = l + (1 − l) σ(W_f x)      S ← diag(a) S + (1 − a) vᵀ      y = Sᵀ SiLU(W_q x) / √K
//
// and out = W_o norm(y), over the whole width. l is the layer's lower bound: the softmax of lower_bounds over the layers, summed up
// to the layer, less the first.
package hgrn2

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// normEps is ε of the output norm in every model, regardless of norm_eps.
const normEps = 1e-5

// Config of one model; the JSON names are those of config.json.
type Config struct {
	fla.Outline
	Heads    int  `json:"num_heads"`    // 0 (null): hidden_size / expand_ratio
	Expand   int  `json:"expand_ratio"` // keys of a head; 0 (null): hidden_size / num_heads
	Bounded  bool `json:"use_lower_bound"`
	Convolve bool `json:"use_short_conv"` // short convolutions without activation of q, f and i
	Kernel   int  `json:"conv_size"`
	Affine   bool `json:"elementwise_affine"`
}

// Default returns the published shape with the given width, layers and vocabulary, and heads of 64 keys and values.
func Default(width, layers, vocab int) Config {
	return Config{Outline: fla.Default(width, layers, vocab), Expand: 64, Bounded: true, Kernel: 4, Affine: true}
}

// Key is the size of a head's key.
func (c Config) Key() int {
	if c.Expand == 0 && c.Heads > 0 {
		return c.Width / c.Heads
	}
	return c.Expand
}

// Count is the number of heads of a layer.
func (c Config) Count() int {
	if c.Heads == 0 && c.Expand > 0 {
		return c.Width / c.Expand
	}
	return c.Heads
}

// Value is the size of a head's value.
func (c Config) Value() int { return c.Width / c.Count() }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if err := c.Outline.Validate(); err != nil {
		return err
	}
	if err := fla.Ranges(fla.Range{Name: "num_heads", Value: c.Count(), Lo: 1, Hi: 65536}, fla.Range{Name: "expand_ratio", Value: c.Key(), Lo: 1, Hi: 65536},
		fla.Range{Name: "conv_size", Value: c.Kernel, Lo: 2, Hi: 64}); err != nil {
		return err
	}
	if c.Width%c.Count() != 0 {
		return fmt.Errorf("config: num_heads = %d must divide hidden_size = %d", c.Count(), c.Width)
	}
	if c.Bounded && c.Count()*c.Key() != c.Width {
		return fmt.Errorf("config: use_lower_bound: num_heads × expand_ratio = %d × %d must be hidden_size = %d", c.Count(), c.Key(), c.Width)
	}
	return nil
}

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 32000)
	c.Expand = 128
	if v, given := keys["expand_ratio"]; given && v == nil {
		c.Expand = 0
	}
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "HGRN2ForCausalLM")
	if err == nil {
		keys["num_heads"], keys["expand_ratio"] = c.Count(), c.Key()
	}
	return keys, err
}

// Kind is model_type in config.json.
const Kind = "hgrn2"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return Kind }

// Hash identifies the configuration; derived sizes hash like the same sizes given explicitly.
func (c Config) Hash() string {
	c.Heads, c.Expand = c.Count(), c.Key()
	return identity.Hash(c, Default(0, 0, 0))
}

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Count() * c.Key() * c.Value()
	carried := recurrent
	if c.Convolve {
		carried += c.Layers * (c.Kernel - 1) * (2*c.Count()*c.Key() + c.Width)
	}
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Count(), State: c.Key(), Recurrent: recurrent, Carried: carried}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: Kind, About: "HGRN-2, arXiv 2404.07904",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
