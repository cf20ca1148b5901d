// Package rwkv4 is RWKV-4 (arXiv 2305.13048): per channel an average of values weighted by e^k, whose weights decay at a fixed rate,
//
//	y_t = (Σ_{i<t} e^{(t−1−i) w + k_i} v_i + e^{u + k_t} v_t) / (the same with 1 for v)      out = W_o (σ(r) ⊙ y)
//
// with w = −exp(time_decay), u = time_first, and r, k, v of inputs mixed with those of the token before.
package rwkv4

import (
	"fmt"

	"stuffed/pkg/arch/rwkv"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	rwkv.Outline
	Context int `json:"context_length"` // of training; nothing depends on it
	Chunk   int `json:"chunk"`          // tokens per chunk of the recurrence
}

// Default returns the published shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Outline: rwkv.Outline{Layers: layers, Width: width, Vocab: vocab, Eps: 1e-5}, Context: 1024, Chunk: 16}
}

// Inner is the width of the channel mix.
func (c Config) Inner() int {
	if c.Intermediate > 0 {
		return c.Intermediate
	}
	return 4 * c.Width
}

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if err := c.Outline.Validate(c.Inner()); err != nil {
		return err
	}
	if c.Chunk < 1 || c.Chunk > 4096 {
		return fmt.Errorf("config: chunk = %d is outside 1 … 4096", c.Chunk)
	}
	return nil
}

// FromKeys reads config.json. rescale_every is left alone: it halves the stream of half-precision inference every so many
// layers and divides weights to match, so that logits are the same but for the ε of norms.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(768, 12, 50277)
	if err := lm.ReadKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) {
	return map[string]any{"model_type": Kind, "architectures": []string{"RwkvForCausalLM"}, "num_hidden_layers": c.Layers, "hidden_size": c.Width,
		"vocab_size": c.Vocab, "attention_hidden_size": c.Mix(), "intermediate_size": c.Inner(), "layer_norm_epsilon": c.Eps, "tie_word_embeddings": c.Tied,
		"context_length": c.Context, "rescale_every": 6, "use_cache": true, "dtype": "float32", "bos_token_id": 0, "eos_token_id": 0}, nil
}

// Kind is model_type in config.json.
const Kind = "rwkv"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "rwkv4" }

// Hash identifies the configuration; default sizes hash like the same sizes given explicitly.
func (c Config) Hash() string {
	c.Attention, c.Intermediate = c.Mix(), c.Inner()
	return identity.Hash(c, Default(0, 0, 0))
}

// Sizes returns the sizes that tables and reports show; all channels of a layer count as one head.
func (c Config) Sizes() lm.Sizes {
	recurrent := 2 * c.Layers * c.Mix()
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: 1, State: 1, Recurrent: recurrent, Carried: recurrent + c.Layers*(c.Mix()+2*c.Width)}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "rwkv4", About: "RWKV-4, arXiv 2305.13048",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
