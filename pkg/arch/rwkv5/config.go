// Package rwkv5 is RWKV-5, Eagle (arXiv 2404.05892): per head, with r, k, v, g of inputs that are mixed with those of the token before
// and a decay w of every key that no token changes,
//
//	o_t = (S_{t−1} + diag(u) k_t v_tᵀ)ᵀ r_t      S_t = diag(w) S_{t−1} + k_t v_tᵀ      out = W_o (GroupNorm(o) ⊙ SiLU(g))
//
// It is RWKV-6 with constant mixes and decays.
package rwkv5

import (
	"encoding/json"
	"fmt"

	"stuffed/pkg/arch/rwkv"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json.
type Config struct {
	rwkv.Outline
	Head    int `json:"head_size"`
	Divisor int `json:"head_size_divisor"` // heads are divided by it before their norm, whose ε is 1e-5
	Chunk   int `json:"chunk"`             // tokens per chunk of the recurrence: at most 16, or a multiple of 16
}

// Default is the published shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Outline: rwkv.Outline{Layers: layers, Width: width, Vocab: vocab, Eps: 1e-5}, Head: 64, Divisor: 8, Chunk: 64}
}

// Inner is the width of the channel mix: 3.5 times that of the model, down to a multiple of 32.
func (c Config) Inner() int {
	if c.Intermediate > 0 {
		return c.Intermediate
	}
	return c.Width * 7 / 2 / 32 * 32
}

// Heads is the number of heads of a layer.
func (c Config) Heads() int { return c.Mix() / c.Head }

// Validate names the first field out of range.
func (c Config) Validate() error {
	if err := c.Outline.Validate(c.Inner()); err != nil {
		return err
	}
	for _, f := range []struct {
		name      string
		value, hi int
	}{{"head_size", c.Head, 65536}, {"head_size_divisor", c.Divisor, 65536}, {"chunk", c.Chunk, 4096}} {
		if f.value < 1 || f.value > f.hi {
			return fmt.Errorf("config: %s = %d is outside 1 … %d", f.name, f.value, f.hi)
		}
	}
	if c.Mix()%c.Head != 0 {
		return fmt.Errorf("config: head_size = %d must divide attention_hidden_size = %d", c.Head, c.Mix())
	}
	return nil
}

// FromKeys reads config.json. num_attention_heads is left alone: published files say 64 whatever the heads are.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(2048, 24, 65536)
	text, err := json.Marshal(keys)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	return c, c.Validate()
}

// Keys is config.json.
func (c Config) Keys() (map[string]any, error) {
	keys := map[string]any{"model_type": Kind, "architectures": []string{"Rwkv5ForCausalLM"}, "num_hidden_layers": c.Layers, "hidden_size": c.Width,
		"vocab_size": c.Vocab, "attention_hidden_size": c.Mix(), "intermediate_size": c.Inner(), "layer_norm_epsilon": c.Eps,
		"tie_word_embeddings": c.Tied, "head_size": c.Head, "head_size_divisor": c.Divisor, "num_attention_heads": c.Heads(),
		"rescale_every": 6, "use_cache": true, "torch_dtype": "float32", "bos_token_id": 0, "eos_token_id": 0,
		"auto_map": map[string]string{"AutoConfig": "configuration_rwkv5.Rwkv5Config", "AutoModelForCausalLM": "modeling_rwkv5.Rwkv5ForCausalLM"}}
	return keys, nil
}

// Kind is model_type in config.json.
const Kind = "rwkv5"

// Architecture is the name in the registry.
func (Config) Architecture() string { return Kind }

// Hash identifies the configuration; sizes that are left to their rule count as given.
func (c Config) Hash() string {
	c.Attention, c.Intermediate = c.Mix(), c.Inner()
	return identity.Hash(c, Default(0, 0, 0))
}

// Sizes are what tables and reports say of the model.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Mix() * c.Head
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads(), State: c.Head, Recurrent: recurrent, Carried: recurrent + 2*c.Layers*c.Width}
}

// WithVocab is the configuration with another vocabulary.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New is the model.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: Kind, About: "RWKV-5, arXiv 2404.05892",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
