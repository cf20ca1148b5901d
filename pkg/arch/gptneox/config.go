// Package gptneox is the transformer of GPT-NeoX (arXiv 2204.06745), of which Pythia is one, in the layout of transformers'
// GPTNeoXForCausalLM: the baseline whose memory grows with the text,
//
//	r ← r + W_o attention(norm₁(r)) + W₂ GELU(W₁ norm₂(r))
//
// with LayerNorm, biases, and rotary positions on the first entries of each head; without parallel residuals the MLP reads
// what attention has added.
package gptneox

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
	Intermediate int     `json:"intermediate_size"`
	Eps          float64 `json:"layer_norm_eps"`
	Theta        float64 `json:"rotary_emb_base"`
	Rotary       float64 `json:"rotary_pct"` // share of a head that is rotated
	Parallel     bool    `json:"use_parallel_residual"`
	Bias         bool    `json:"attention_bias"`
	Tied         bool    `json:"tie_word_embeddings"`
	InitRange    float64 `json:"initializer_range"`
}

// Default returns a model of the given width, layers and vocabulary, and heads of 64.
func Default(width, layers, vocab int) Config {
	return Config{Layers: layers, Width: width, Vocab: vocab, Heads: max(1, width/64), Intermediate: 4 * width, Eps: 1e-5, Theta: 10000, Rotary: 0.25,
		Parallel: true, Bias: true, InitRange: 0.02}
}

func (c Config) head() int { return c.Width / c.Heads }

// rotated is the number of rotated entries per head, which is even.
func (c Config) rotated() int { return int(float64(c.head()) * c.Rotary) }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	err := fla.Ranges(fla.Range{Name: "num_hidden_layers", Value: c.Layers, Lo: 1, Hi: 512}, fla.Range{Name: "hidden_size", Value: c.Width, Lo: 1, Hi: 65536},
		fla.Range{Name: "vocab_size", Value: c.Vocab, Lo: 2, Hi: 1 << 20}, fla.Range{Name: "num_attention_heads", Value: c.Heads, Lo: 1, Hi: 65536},
		fla.Range{Name: "intermediate_size", Value: c.Intermediate, Lo: 1, Hi: 1 << 20})
	switch {
	case err != nil:
		return err
	case c.Width%c.Heads != 0:
		return fmt.Errorf("config: num_attention_heads = %d must divide hidden_size = %d", c.Heads, c.Width)
	case !(c.Rotary >= 0 && c.Rotary <= 1) || c.rotated()%2 != 0:
		return fmt.Errorf("config: rotary_pct = %g must be 0 … 1 and give an even share of heads of %d", c.Rotary, c.head())
	case !(c.Eps > 0 && c.Eps < 1):
		return fmt.Errorf("config: layer_norm_eps = %g is outside (0, 1)", c.Eps)
	case !(c.Theta > 0 && c.Theta < 1e12):
		return fmt.Errorf("config: rotary_emb_base = %g is outside (0, 1e12)", c.Theta)
	case !(c.InitRange > 0 && c.InitRange < 10):
		return fmt.Errorf("config: initializer_range = %g is outside (0, 10)", c.InitRange)
	}
	return nil
}

// FromKeys reads config.json, with rope_parameters as transformers 5 writes it or rotary_pct and rotary_emb_base as before.
func FromKeys(keys map[string]any) (Config, error) {
	c := Config{Layers: 44, Width: 6144, Vocab: 50432, Heads: 64, Intermediate: 24576, Eps: 1e-5, Theta: 10000, Rotary: 0.25, Parallel: true, Bias: true, InitRange: 0.02}
	rest := map[string]any{}
	for k, v := range keys {
		rest[k] = v
	}
	if act := rest["hidden_act"]; act != nil && act != "gelu" {
		return c, fmt.Errorf("config: hidden_act = %v must be gelu", act)
	}
	delete(rest, "hidden_act")
	if err := fla.FromKeys(rest, &c); err != nil {
		return c, err
	}
	if err := attend.Rotary(keys, &c.Theta, &c.Rotary); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns config.json in the form that transformers 5 writes.
func (c Config) Keys() (map[string]any, error) {
	keys, err := fla.Keys(c, Kind, "GPTNeoXForCausalLM")
	if err != nil {
		return nil, err
	}
	delete(keys, "rotary_emb_base")
	delete(keys, "rotary_pct")
	keys["rope_parameters"] = map[string]any{"rope_type": "default", "rope_theta": c.Theta, "partial_rotary_factor": c.Rotary}
	keys["hidden_act"] = "gelu"
	return keys, nil
}

// Kind is model_type in config.json.
const Kind = "gpt_neox"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "gpt-neox" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default(64, 1, 0)) }

// Sizes returns the sizes that tables and reports show; the cache counts as one token long.
func (c Config) Sizes() lm.Sizes {
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, Carried: 2 * c.Layers * c.Width}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "gpt-neox", About: "the transformer of GPT-NeoX and Pythia, arXiv 2204.06745: a cache that grows",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
