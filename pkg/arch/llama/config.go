// Package llama is the transformer of Llama (arXiv 2302.13971) in the layout of transformers' LlamaForCausalLM: the baseline
// whose memory grows with the text,
//
//	r ← r + W_o attention(norm(r))      r ← r + W_down (SiLU(W_gate x) ⊙ W_up x),  x = norm(r)
//
// with rotary positions on whole heads, and keys and values shared by groups of query heads.
package llama

import (
	"fmt"

	"stuffed/pkg/arch/attend"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	Layers       int     `json:"num_hidden_layers"`
	Width        int     `json:"hidden_size"`
	Vocab        int     `json:"vocab_size"`
	Heads        int     `json:"num_attention_heads"`
	KVHeads      int     `json:"num_key_value_heads"` // 0 (null): as many as heads
	Head         int     `json:"head_dim"`            // 0 (null): width / heads
	Intermediate int     `json:"intermediate_size"`
	Eps          float64 `json:"rms_norm_eps"`
	Theta        float64 `json:"rope_theta"`
	Bias         bool    `json:"attention_bias"`
	MLPBias      bool    `json:"mlp_bias"`
	Tied         bool    `json:"tie_word_embeddings"`
	InitRange    float64 `json:"initializer_range"`
}

// Default returns a model of the given width, layers and vocabulary, heads of 64 and an MLP of 8/3 of the width.
func Default(width, layers, vocab int) Config {
	return Config{Layers: layers, Width: width, Vocab: vocab, Heads: max(1, width/64), Intermediate: (width*8/3 + 63) / 64 * 64, Eps: 1e-6,
		Theta: 10000, InitRange: 0.02}
}

func (c Config) head() int {
	if c.Head > 0 {
		return c.Head
	}
	return c.Width / c.Heads
}

func (c Config) kvHeads() int {
	if c.KVHeads > 0 {
		return c.KVHeads
	}
	return c.Heads
}

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	err := fla.Ranges(fla.Range{Name: "num_hidden_layers", Value: c.Layers, Lo: 1, Hi: 512}, fla.Range{Name: "hidden_size", Value: c.Width, Lo: 1, Hi: 65536},
		fla.Range{Name: "vocab_size", Value: c.Vocab, Lo: 2, Hi: 1 << 20}, fla.Range{Name: "num_attention_heads", Value: c.Heads, Lo: 1, Hi: 65536},
		fla.Range{Name: "num_key_value_heads", Value: c.KVHeads, Lo: 0, Hi: 65536}, fla.Range{Name: "head_dim", Value: c.Head, Lo: 0, Hi: 65536},
		fla.Range{Name: "intermediate_size", Value: c.Intermediate, Lo: 1, Hi: 1 << 20})
	switch {
	case err != nil:
		return err
	case c.Head == 0 && c.Width%c.Heads != 0:
		return fmt.Errorf("config: num_attention_heads = %d must divide hidden_size = %d, or head_dim be given", c.Heads, c.Width)
	case c.head()%2 != 0:
		return fmt.Errorf("config: head_dim = %d must be even", c.head())
	case c.Heads%c.kvHeads() != 0:
		return fmt.Errorf("config: num_key_value_heads = %d must divide num_attention_heads = %d", c.KVHeads, c.Heads)
	case !(c.Eps > 0 && c.Eps < 1):
		return fmt.Errorf("config: rms_norm_eps = %g is outside (0, 1)", c.Eps)
	case !(c.Theta > 0 && c.Theta < 1e12):
		return fmt.Errorf("config: rope_theta = %g is outside (0, 1e12)", c.Theta)
	case !(c.InitRange > 0 && c.InitRange < 10):
		return fmt.Errorf("config: initializer_range = %g is outside (0, 10)", c.InitRange)
	}
	return nil
}

// FromKeys reads config.json, with rope_parameters as transformers 5 writes it or rope_theta as before.
func FromKeys(keys map[string]any) (Config, error) {
	c := Config{Layers: 32, Width: 4096, Vocab: 32000, Heads: 32, Intermediate: 11008, Eps: 1e-6, Theta: 10000, InitRange: 0.02}
	if err := fla.FromKeys(keys, &c); err != nil {
		return c, err
	}
	if err := attend.Rotary(keys, &c.Theta, nil); err != nil {
		return c, err
	}
	c.KVHeads = c.kvHeads()
	if c.Head == 0 && c.Heads > 0 && c.Width%c.Heads == 0 {
		c.Head = c.Width / c.Heads
	}
	return c, c.Validate()
}

// Keys returns config.json in the form that transformers 5 writes.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "LlamaForCausalLM")
	if err != nil {
		return nil, err
	}
	delete(keys, "rope_theta")
	keys["rope_parameters"] = map[string]any{"rope_type": "default", "rope_theta": c.Theta}
	keys["num_key_value_heads"], keys["head_dim"], keys["hidden_act"] = c.kvHeads(), c.head(), "silu"
	return keys, nil
}

// Kind is model_type in config.json.
const Kind = "llama"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "llama" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(64, 1, 0)) }

// Sizes returns the sizes that tables and reports show; the cache counts as one token long.
func (c Config) Sizes() lm.Sizes {
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, Carried: 2 * c.Layers * c.kvHeads() * c.head()}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "llama", About: "the transformer of Llama, arXiv 2302.13971: a cache that grows",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
