// Package rwkv6 is RWKV-6, Finch (arXiv 2404.05892): per head, with r, k, v, g and a decay w_t of every key from inputs that
// are mixed with those of the token before,
//
//	o_t = (S_{t−1} + diag(u) k_t v_tᵀ)ᵀ r_t      S_t = diag(w_t) S_{t−1} + k_t v_tᵀ      out = W_o (GroupNorm(o) ⊙ SiLU(g))
//
// It reads before it writes; the bonus u weighs the token's own write.
package rwkv6

import (
	"stuffed/pkg/arch/rwkv"
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json. The low ranks are not in published files, whose tensors
// show them: see FromShapes.
type Config struct {
	rwkv.Outline
	Head      int `json:"head_size"`
	Divisor   int `json:"head_size_divisor"` // the norm of heads has ε = 1e-5 · divisor²
	MixRank   int `json:"mix_rank"`          // of the five mixes
	DecayRank int `json:"decay_rank"`
	Chunk     int `json:"chunk"` // tokens per chunk of the recurrence: at most 16, or a multiple of 16
}

// Default returns the published shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Outline: rwkv.Outline{Layers: layers, Width: width, Vocab: vocab, Eps: 1e-5}, Head: 64, Divisor: 8,
		MixRank: 32, DecayRank: 64, Chunk: 64}
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
func (c Config) Validate() error {
	return c.heads().Validate(rwkv.Size{Name: "mix_rank", Value: c.MixRank, Hi: 65536}, rwkv.Size{Name: "decay_rank", Value: c.DecayRank, Hi: 65536})
}

// FromKeys reads config.json; for the low ranks see FromShapes.
func FromKeys(keys map[string]any) (Config, error) { return rwkv.Read(keys, Default(2048, 24, 65536)) }

// FromShapes is the configuration with the low ranks that the tensors of block 0 have: time_maa_w1 [width, 5 ranks],
// time_decay_w1 [width, rank].
func (c Config) FromShapes(shape func(name string) []int) lm.Config {
	for _, low := range []struct {
		name string
		rank *int
		per  int
	}{{"time_maa_w1", &c.MixRank, 5}, {"time_decay_w1", &c.DecayRank, 1}} {
		if dims := shape("rwkv.blocks.0.attention." + low.name); len(dims) == 2 {
			*low.rank = dims[1] / low.per
		}
	}
	return c
}

// Keys returns the content of config.json.
func (c Config) Keys() (map[string]any, error) { return c.heads().Keys("Rwkv6"), nil }

// Kind is model_type in config.json.
const Kind = "rwkv6"

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
	lm.Register(lm.Architecture{Name: Kind, About: "RWKV-6, arXiv 2404.05892",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte"},
		Preset: func(string) (lm.Config, error) { return Default(128, 2, 272), nil }})
}
