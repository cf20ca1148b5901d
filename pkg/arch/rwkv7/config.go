// Package rwkv7 is RWKV-7 (arXiv 2503.14456) in the layout of flash-linear-attention and as BlinkDL publishes it: per head
//
//	S ← diag(w) S − (κ ⊙ a) (κᵀ S) + k vᵀ      o = Sᵀ r
//
// where the removal reads the state before its decay. All inputs are mixed with those of the token before,
// x_j = x + (shift(x) − x) ⊙ μ_j; w = exp(−e^(−½) σ(·)), a = σ(·), the gate g and the mix of the first layer's values into
// v come from products of two narrow matrices; κ is k ⊙ k_k of norm 1; k is k ⊙ (1 + (a − 1) ⊙ k_a).
package rwkv7

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of flash-linear-attention's config.json.
type Config struct {
	Layers       int     `json:"num_hidden_layers"`
	Width        int     `json:"hidden_size"`
	Vocab        int     `json:"vocab_size"`
	Head         int     `json:"head_dim"`
	Intermediate int     `json:"intermediate_size"` // of the channel mix; 0 (null): hidden_ratio · width, up to a multiple of 32
	Ratio        float64 `json:"hidden_ratio"`
	DecayRank    int     `json:"decay_low_rank_dim"` // ranks of the narrow products
	GateRank     int     `json:"gate_low_rank_dim"`
	RateRank     int     `json:"a_low_rank_dim"`
	ValueRank    int     `json:"v_low_rank_dim"`
	Eps          float64 `json:"norm_eps"`
	GroupEps     float64 `json:"group_norm_eps"` // of the norm of heads; 0: head_dim · norm_eps
	NormBias     bool    `json:"norm_bias"`      // of the norms but that of heads, which always has one
	NormFirst    bool    `json:"norm_first"`     // a norm of the embeddings
	Tied         bool    `json:"tie_word_embeddings"`
	Chunk        int     `json:"chunk"` // tokens per chunk of the recurrence, a power of two
}

// Default returns the published shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Layers: layers, Width: width, Vocab: vocab, Head: 64, Ratio: 4, DecayRank: 64, GateRank: 128, RateRank: 64, ValueRank: 16,
		Eps: 1e-5, NormBias: true, NormFirst: true, Chunk: 64}
}

// Heads is the number of heads of a layer.
func (c Config) Heads() int { return c.Width / c.Head }

// Inner is the width of the channel mix.
func (c Config) Inner() int {
	if c.Intermediate > 0 {
		return c.Intermediate
	}
	return (int(float64(c.Width)*c.Ratio) + 31) / 32 * 32
}

// HeadEps is ε of the norm of heads.
func (c Config) HeadEps() float64 {
	if c.GroupEps > 0 {
		return c.GroupEps
	}
	return float64(c.Head) * c.Eps
}

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	var ranges []fla.Range
	for _, r := range []fla.Range{{Name: "hidden_size", Value: c.Width}, {Name: "head_dim", Value: c.Head}, {Name: "decay_low_rank_dim", Value: c.DecayRank},
		{Name: "gate_low_rank_dim", Value: c.GateRank}, {Name: "a_low_rank_dim", Value: c.RateRank}, {Name: "v_low_rank_dim", Value: c.ValueRank}} {
		r.Lo, r.Hi = 1, 65536
		ranges = append(ranges, r)
	}
	err := fla.Ranges(append(ranges, fla.Range{Name: "num_hidden_layers", Value: c.Layers, Lo: 1, Hi: 512}, fla.Range{Name: "vocab_size", Value: c.Vocab, Lo: 2, Hi: 1 << 20},
		fla.Range{Name: "intermediate_size", Value: c.Inner(), Lo: 1, Hi: 1 << 20}, fla.Range{Name: "chunk", Value: c.Chunk, Lo: 1, Hi: 4096})...)
	switch {
	case err != nil:
		return err
	case c.Chunk&(c.Chunk-1) != 0:
		return fmt.Errorf("config: chunk = %d must be a power of two", c.Chunk)
	case c.Width%c.Head != 0:
		return fmt.Errorf("config: head_dim = %d must divide hidden_size = %d", c.Head, c.Width)
	case !(c.Eps > 0 && c.Eps < 1) || !(c.GroupEps >= 0 && c.GroupEps < 1):
		return fmt.Errorf("config: norm_eps = %g and group_norm_eps = %g must be in (0, 1)", c.Eps, c.GroupEps)
	}
	return nil
}

// FromKeys reads config.json of flash-linear-attention.
func FromKeys(keys map[string]any) (Config, error) {
	c, rest := Default(2048, 24, 32000), map[string]any{}
	for k, v := range keys {
		rest[k] = v
	}
	if act := rest["hidden_act"]; act == "sqrelu" {
		delete(rest, "hidden_act")
	} else if act != nil {
		return c, fmt.Errorf("config: hidden_act = %v must be sqrelu", act)
	}
	if err := fla.FromKeys(rest, &c); err != nil {
		return c, err
	}
	if values, ok := keys["value_dim"].([]any); ok {
		for i, v := range values {
			if v != float64(c.Width) {
				return c, fmt.Errorf("config: value_dim of layer %d is %v; only that of hidden_size, %d, is read", i, v, c.Width)
			}
		}
	}
	if n, given := keys["num_heads"].(float64); given && c.Head > 0 && int(n)*c.Head != c.Width {
		return c, fmt.Errorf("config: num_heads = %v times head_dim = %d must be hidden_size = %d", n, c.Head, c.Width)
	}
	return c, c.Validate()
}

// Keys returns the content of config.json for flash-linear-attention.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "RWKV7ForCausalLM")
	if err != nil {
		return nil, err
	}
	if c.GroupEps == 0 {
		delete(keys, "group_norm_eps")
	}
	var values []int
	for range c.Layers {
		values = append(values, c.Width)
	}
	keys["hidden_act"], keys["value_dim"], keys["num_heads"], keys["attn"] = "sqrelu", values, c.Heads(), nil
	keys["intermediate_size"] = c.Inner()
	return keys, nil
}

// Kind is model_type in config.json.
const Kind = "rwkv7"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "rwkv7" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(0, 0, 0)) }

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Width * c.Head
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads(), State: c.Head, Recurrent: recurrent, Carried: recurrent + 2*c.Layers*c.Width}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "rwkv7", About: "RWKV-7, arXiv 2503.14456",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
