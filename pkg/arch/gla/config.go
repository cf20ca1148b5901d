// Package gla is Gated Linear Attention (arXiv 2312.06635) in the layout of flash-linear-attention: per head
//
//	S ← diag(e^g) S + k vᵀ      y = Sᵀ q / √K      g = ln σ(W₂ W₁ x + b) / 16
//
// and out = W_o (norm(y) ⊙ SiLU(W_g x)).
package gla

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// gateRank and gateDivisor are fixed in every model; configurations cannot change them.
const (
	gateRank    = 16
	gateDivisor = 16
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	fla.Outline
	Heads    int      `json:"num_heads"`
	KVHeads  int      `json:"num_kv_heads"` // of k, v and gates, each read by the heads that follow each other; 0 (null): num_heads
	ExpandK  float64  `json:"expand_k"`
	ExpandV  float64  `json:"expand_v"`
	Convolve bool     `json:"use_short_conv"` // short convolutions with SiLU of q, k and v
	Kernel   int      `json:"conv_size"`
	Gate     bool     `json:"use_output_gate"`
	ClampMin *float64 `json:"clamp_min"` // lower bound of g, or none
	Affine   bool     `json:"elementwise_affine"`
	Fused    bool     `json:"fuse_norm"` // with the gate: the norm is called g_norm_swish_gate in files
}

// Default returns the published shape with the given width, layers and vocabulary, and heads of 64 values.
func Default(width, layers, vocab int) Config {
	return Config{Outline: fla.Default(width, layers, vocab), Heads: max(1, width/64), ExpandK: 0.5, ExpandV: 1, Kernel: 4, Gate: true, Affine: true, Fused: true}
}

// groups is the number of heads that share one k, v and gate.
func (c Config) groups() int {
	if c.KVHeads > 0 {
		return c.Heads / c.KVHeads
	}
	return 1
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
	if err := fla.Ranges(fla.Range{Name: "num_heads", Value: c.Heads, Lo: 1, Hi: 65536}, fla.Range{Name: "num_kv_heads", Value: c.KVHeads, Lo: 0, Hi: c.Heads},
		fla.Range{Name: "conv_size", Value: c.Kernel, Lo: 2, Hi: 64}); err != nil {
		return err
	}
	if c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("config: num_kv_heads = %d must divide num_heads = %d", c.KVHeads, c.Heads)
	}
	for name, expand := range map[string]float64{"expand_k": c.ExpandK, "expand_v": c.ExpandV} {
		if width := int(float64(c.Width) * expand); !(expand > 0 && expand < 64) || width < 1 || width%c.Heads != 0 {
			return fmt.Errorf("config: %s = %g: %d heads must divide expand × hidden_size = %d", name, expand, c.Heads, width)
		}
	}
	if c.ClampMin != nil && !(*c.ClampMin <= 0) {
		return fmt.Errorf("config: clamp_min = %g must not be above 0", *c.ClampMin)
	}
	return nil
}

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 32000)
	c.Heads = 4
	for key, want := range map[string]any{"use_gk": true, "use_gv": false, "feature_map": nil} {
		if v, given := keys[key]; given && v != want {
			return c, fmt.Errorf("config: %s = %v must be %v", key, v, want)
		}
	}
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "GLAForCausalLM")
	if err == nil && c.KVHeads == 0 {
		keys["num_kv_heads"] = nil
	}
	return keys, err
}

// Kind is model_type in config.json.
const Kind = "gla"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return Kind }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Heads * c.Key() * c.Value()
	carried := recurrent
	if c.Convolve {
		carried += c.Layers * (c.Kernel - 1) * (c.Heads*c.Key() + c.Heads/c.groups()*(c.Key()+c.Value()))
	}
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, State: c.Key(), Recurrent: recurrent, Carried: carried}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: Kind, About: "Gated Linear Attention, arXiv 2312.06635",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
