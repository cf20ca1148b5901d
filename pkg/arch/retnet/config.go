// Package retnet is RetNet (arXiv 2307.08621) in the layout of flash-linear-attention: per head, with q and k turned by their positions and
// a decay γ_h = 1 − 2^{−5−h} that nothing changes,
//
//	S ← γ S + k vᵀ      y = Sᵀ q / √K
//
// and out = W_o (norm(y) ⊙ SiLU(W_g x)). The state holds keys turned by absolute positions, so the position is carried with it.
package retnet

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// theta is the base of the rotation angles in every model.
const theta = 10000

// Config of one model; the JSON names are those of config.json. use_short_conv has no effect in published code, and none here.
type Config struct {
	fla.Outline
	Heads   int     `json:"num_heads"`
	KVHeads int     `json:"num_kv_heads"` // of k and v, each read by the heads that follow each other; 0 (null): num_heads
	ExpandK float64 `json:"expand_k"`
	ExpandV float64 `json:"expand_v"`
	Gate    bool    `json:"use_output_gate"`
	Affine  bool    `json:"elementwise_affine"`
	Fused   bool    `json:"fuse_norm"` // with the gate: the norm is called g_norm_swish_gate in files
}

// Default returns the published shape with the given width, layers and vocabulary, and heads of 64 keys.
func Default(width, layers, vocab int) Config {
	c := Config{Outline: fla.Default(width, layers, vocab), Heads: max(1, width/64), ExpandK: 1, ExpandV: 2, Gate: true, Affine: true, Fused: true}
	c.Ratio = 2
	return c
}

// groups is the number of heads that share one k and v.
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
	if err := fla.Ranges(fla.Range{Name: "num_heads", Value: c.Heads, Lo: 1, Hi: 65536}, fla.Range{Name: "num_kv_heads", Value: c.KVHeads, Lo: 0, Hi: c.Heads}); err != nil {
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
	if c.Key()%2 != 0 {
		return fmt.Errorf("config: expand_k = %g: a head has %d keys, which must be even", c.ExpandK, c.Key())
	}
	return nil
}

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 32000)
	c.Heads = 8
	if v, given := keys["feature_map"]; given && v != nil {
		return c, fmt.Errorf("config: feature_map = %v must be null", v)
	}
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "RetNetForCausalLM")
	if err == nil && c.KVHeads == 0 {
		keys["num_kv_heads"] = nil
	}
	return keys, err
}

// Kind is model_type in config.json.
const Kind = "retnet"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return Kind }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Heads * c.Key() * c.Value()
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, State: c.Key(), Recurrent: recurrent, Carried: recurrent + c.Layers}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: Kind, About: "RetNet, arXiv 2307.08621",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
