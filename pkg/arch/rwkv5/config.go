// Package rwkv5 is RWKV-5, Eagle (arXiv 2404.05892): per head, with r, k, v, g of inputs that are mixed with those of the token before
// and a decay w of every key that no token changes,
//
//	o_t = (S_{t−1} + diag(u) k_t v_tᵀ)ᵀ r_t      S_t = diag(w) S_{t−1} + k_t v_tᵀ      out = W_o (GroupNorm(o) ⊙ SiLU(g))
//
// It is RWKV-6 with constant mixes and decays.
package rwkv5

import (
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

// Default returns the published shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Outline: rwkv.Outline{Layers: layers, Width: width, Vocab: vocab, Eps: 1e-5}, Head: 64, Divisor: 8, Chunk: 64}
}

// heads returns the part common to RWKV-5 and RWKV-6.
func (c Config) heads() rwkv.Heads {
	return rwkv.Heads{Outline: c.Outline, Kind: Kind, Head: c.Head, Divisor: c.Divisor, Chunk: c.Chunk}
}

// Inner is the width of the channel mix: 3.5 times the model's, rounded down to a multiple of 32.
func (c Config) Inner() int { return c.heads().Inner() }

// Heads is the number of heads of a layer.
func (c Config) Heads() int { return c.heads().Count() }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error { return c.heads().Validate() }

// FromKeys parses config.json; unsupported settings are an error.
func FromKeys(keys map[string]any) (Config, error) { return rwkv.Read(keys, Default(2048, 24, 65536)) }

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) { return c.heads().Keys("Rwkv5"), nil }

// Kind is model_type in config.json.
const Kind = "rwkv5"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return Kind }

// Hash identifies the configuration; default sizes hash like the same sizes given explicitly.
func (c Config) Hash() string {
	c.Attention, c.Intermediate = c.Mix(), c.Inner()
	return identity.Hash(c, Default(0, 0, 0))
}

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes { return c.heads().Sizes() }

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{Config: c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: Kind, About: "RWKV-5, arXiv 2404.05892",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
