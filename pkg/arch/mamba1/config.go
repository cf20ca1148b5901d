// Package mamba1 is the Mamba language model (arXiv 2312.00752): per layer, with x and z from one projection of norm(r),
//
//	x ← SiLU(conv(x))      Δ | B | C = W_x x      Δ ← softplus(W_Δ Δ + b)
//	h_t[c,n] = e^{Δ_t[c] A[c,n]} h_{t−1}[c,n] + Δ_t[c] x_t[c] B_t[n]
//	r ← r + W_out ((Σ_n h_t[c,n] C_t[n] + D[c] x[c]) ⊙ SiLU(z))
//
// There is no norm inside the block.
package mamba1

import (
	"fmt"

	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config of one model; the JSON names are those of config.json of transformers.
type Config struct {
	Layers   int     `json:"num_hidden_layers"`
	Width    int     `json:"hidden_size"`
	Vocab    int     `json:"vocab_size"`
	Expand   int     `json:"expand"`
	State    int     `json:"state_size"`
	Kernel   int     `json:"conv_kernel"`
	Rank     int     `json:"time_step_rank"` // of Δ, 0 ("auto"): hidden_size / 16, rounded up
	Eps      float64 `json:"layer_norm_epsilon"`
	UseBias  bool    `json:"use_bias"`
	ConvBias bool    `json:"use_conv_bias"`
	Tied     bool    `json:"tie_word_embeddings"`
	DeltaMin float64 `json:"time_step_min"` // Δ at initialisation, log-uniform
	DeltaMax float64 `json:"time_step_max"`
	Floor    float64 `json:"time_step_floor"`
	Chunk    int     `json:"chunk"` // tokens between the states that the backward keeps
}

// Default returns the official shape with the given width, layers and vocabulary.
func Default(width, layers, vocab int) Config {
	return Config{Layers: layers, Width: width, Vocab: vocab, Expand: 2, State: 16, Kernel: 4, Eps: 1e-5, ConvBias: true, Tied: true,
		DeltaMin: 1e-3, DeltaMax: 0.1, Floor: 1e-4, Chunk: 64}
}

// presets are the official models, whose vocabulary is the GPT-NeoX one padded to a multiple of 8.
var presets = map[string]Config{
	"byte": Default(128, 2, 272), "130m": Default(768, 24, 50280), "370m": Default(1024, 48, 50280), "790m": Default(1536, 48, 50280),
	"1.4b": Default(2048, 48, 50280), "2.8b": Default(2560, 64, 50280),
}

// Inner is the number of channels of the recurrence.
func (c Config) Inner() int { return c.Expand * c.Width }

// DeltaRank is the rank of the projection of Δ.
func (c Config) DeltaRank() int {
	if c.Rank > 0 {
		return c.Rank
	}
	return (c.Width + 15) / 16
}

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"num_hidden_layers", c.Layers, 1, 512}, {"hidden_size", c.Width, 1, 65536}, {"vocab_size", c.Vocab, 2, 1 << 20}, {"expand", c.Expand, 1, 64},
		{"state_size", c.State, 1, 65536}, {"conv_kernel", c.Kernel, 2, 64}, {"time_step_rank", c.DeltaRank(), 1, 65536}, {"chunk", c.Chunk, 1, 4096},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("config: %s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	switch {
	case !(c.Eps > 0 && c.Eps < 1):
		return fmt.Errorf("config: layer_norm_epsilon = %g is outside (0, 1)", c.Eps)
	case !(c.DeltaMin > 0 && c.DeltaMax >= c.DeltaMin && c.DeltaMax < 1e3):
		return fmt.Errorf("config: time_step_min = %g and time_step_max = %g must be an interval above 0", c.DeltaMin, c.DeltaMax)
	case !(c.Floor >= 0 && c.Floor < 1e3):
		return fmt.Errorf("config: time_step_floor = %g must be finite and at least 0", c.Floor)
	}
	return nil
}

// FromKeys reads config.json, of transformers or of mamba_ssm (d_model, n_layer, ssm_cfg).
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(768, 24, 50280)
	if _, official := keys["d_model"]; official {
		return fromOfficial(c, keys)
	}
	own := map[string]any{}
	for k, v := range keys {
		if own[k] = v; k == "time_step_rank" && v == "auto" {
			own[k] = 0
		}
	}
	if act, given := keys["hidden_act"]; given && act != "silu" {
		return c, fmt.Errorf("config: hidden_act = %v must be silu", act)
	}
	return c, c.read(own)
}

// read overwrites the fields whose keys are present.
func (c *Config) read(keys map[string]any) error {
	if err := lm.ReadKeys(keys, c); err != nil {
		return err
	}
	return c.Validate()
}

// fromOfficial reads mamba_ssm's keys, in which the vocabulary is unpadded.
func fromOfficial(c Config, keys map[string]any) (Config, error) {
	own := map[string]any{"hidden_size": keys["d_model"], "num_hidden_layers": keys["n_layer"], "vocab_size": keys["vocab_size"]}
	ssm, _ := keys["ssm_cfg"].(map[string]any)
	for from, to := range map[string]string{"d_state": "state_size", "d_conv": "conv_kernel", "expand": "expand", "dt_rank": "time_step_rank",
		"bias": "use_bias", "conv_bias": "use_conv_bias"} {
		if v, given := ssm[from]; given && v != "auto" {
			own[to] = v
		}
	}
	if layer, given := ssm["layer"]; given && layer != "Mamba1" {
		return c, fmt.Errorf("config: ssm_cfg.layer = %v must be Mamba1", layer)
	}
	for _, key := range []string{"attn_layer_idx", "attn_cfg"} {
		if list, _ := keys[key].([]any); len(list) > 0 {
			return c, fmt.Errorf("config: %s = %v: layers of one kind only, not attention among them", key, list)
		}
	}
	if inner, given := keys["d_intermediate"].(float64); given && inner > 0 {
		return c, fmt.Errorf("config: d_intermediate = %g: blocks with an MLP are not Mamba's", inner)
	}
	if rms, given := keys["rms_norm"]; given && rms != true {
		return c, fmt.Errorf("config: rms_norm = %v must be true", rms)
	}
	if tied, given := keys["tie_embeddings"].(bool); given {
		c.Tied = tied
	}
	multiple := 8
	if m, given := keys["pad_vocab_size_multiple"].(float64); given && m >= 1 {
		multiple = int(m)
	}
	err := c.read(own)
	c.Vocab = (c.Vocab + multiple - 1) / multiple * multiple
	return c, err
}

// Keys returns the content of config.json for transformers.
func (c Config) Keys() (map[string]any, error) {
	return map[string]any{"model_type": Kind, "architectures": []string{"MambaForCausalLM"}, "num_hidden_layers": c.Layers, "hidden_size": c.Width,
		"vocab_size": c.Vocab, "expand": c.Expand, "intermediate_size": c.Inner(), "state_size": c.State, "conv_kernel": c.Kernel, "time_step_rank": c.DeltaRank(),
		"layer_norm_epsilon": c.Eps, "use_bias": c.UseBias, "use_conv_bias": c.ConvBias, "tie_word_embeddings": c.Tied, "time_step_min": c.DeltaMin,
		"time_step_max": c.DeltaMax, "time_step_floor": c.Floor, "hidden_act": "silu", "residual_in_fp32": true, "dtype": "float32"}, nil
}

// Official is config.json of mamba_ssm, which has ε of the norms built in. The vocabulary is padded already.
func (c Config) Official() (map[string]any, error) {
	if c.Eps != 1e-5 {
		return nil, fmt.Errorf("config: layer_norm_epsilon is %g, the official layout has 1e-05 built in", c.Eps)
	}
	return map[string]any{"d_model": c.Width, "d_intermediate": 0, "n_layer": c.Layers, "vocab_size": c.Vocab, "rms_norm": true,
		"residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 1, "tie_embeddings": c.Tied, "attn_layer_idx": []int{},
		"attn_cfg": map[string]any{}, "ssm_cfg": map[string]any{"layer": "Mamba1", "d_state": c.State, "d_conv": c.Kernel, "expand": c.Expand,
			"dt_rank": c.DeltaRank(), "bias": c.UseBias, "conv_bias": c.ConvBias}}, nil
}

// Kind is model_type in config.json.
const Kind = "mamba"

// Architecture is the architecture's name in the registry.
func (Config) Architecture() string { return "mamba1" }

// Hash identifies the configuration; the default rank hashes like the same rank given explicitly.
func (c Config) Hash() string {
	c.Rank = c.DeltaRank()
	return identity.Hash(c, Default(0, 0, 0))
}

// Sizes returns the sizes that tables and reports show; all channels of a layer count as one head.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Inner() * c.State
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: 1, State: c.State, Recurrent: recurrent,
		Carried: recurrent + c.Layers*(c.Kernel-1)*c.Inner()}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

func init() {
	lm.Register(lm.Architecture{Name: "mamba1", About: "Mamba, arXiv 2312.00752",
		Default: func() lm.Config { return Default(256, 2, 0) }, Presets: []string{"byte", "130m", "370m", "790m", "1.4b", "2.8b"},
		Preset: func(name string) (lm.Config, error) { return presets[name], nil }})
}
