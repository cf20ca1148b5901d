package checkpoint

import (
	"fmt"
	"math"
	"strings"
)

// Layouts of a model folder.
const (
	LayoutHuggingFace = "huggingface" // transformers, Mamba2ForCausalLM
	LayoutOfficial    = "official"    // mamba_ssm, MambaLMHeadModel
)

// bigDim bounds every integer of a config that this package computes with; pkg/mamba2 has narrower limits for each field.
const bigDim = 1 << 24

// huggingFaceDefaults are the defaults of transformers' Mamba2Config, which saves every key, though older versions may omit some.
var huggingFaceDefaults = Config{
	"num_heads": 128.0, "head_dim": 64.0, "vocab_size": 32768.0, "hidden_size": 4096.0, "state_size": 128.0, "num_hidden_layers": 64.0,
	"layer_norm_epsilon": 1e-5, "expand": 2.0, "conv_kernel": 4.0, "n_groups": 8.0, "use_bias": false, "use_conv_bias": true,
	"hidden_act": "silu", "initializer_range": 0.1, "residual_in_fp32": true, "time_step_min": 0.001, "time_step_max": 0.1,
	"time_step_floor": 1e-4, "time_step_limit": []any{0.0, math.Inf(1)}, "rescale_prenorm_residual": false, "chunk_size": 256.0,
}

// officialDefaults and ssmDefaults are the defaults of mamba_ssm's MambaConfig and Mamba2 classes.
var officialDefaults = Config{
	"d_intermediate": 0.0, "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true, "vocab_size": 50277.0,
	"pad_vocab_size_multiple": 8.0, "tie_embeddings": true, "attn_layer_idx": []any{}, "norm_epsilon": 1e-5,
}

var ssmDefaults = Config{
	"d_state": 128.0, "d_conv": 4.0, "expand": 2.0, "headdim": 64.0, "ngroups": 1.0, "D_has_hdim": false, "rmsnorm": true,
	"norm_before_gate": false, "dt_min": 0.001, "dt_max": 0.1, "dt_init_floor": 1e-4, "dt_limit": []any{0.0, math.Inf(1)}, "bias": false,
	"conv_bias": true, "chunk_size": 256.0,
}

func withDefaults(c, defaults Config) Config {
	out := Config{}
	for k, v := range defaults {
		out[k] = v
	}
	for k, v := range c {
		if v != nil || out[k] == nil {
			out[k] = v
		}
	}
	return out
}

// fromOfficial translates a mamba_ssm config to Hugging Face keys, and rejects settings that these cannot express.
func fromOfficial(official Config) (Config, error) {
	c := withDefaults(official, officialDefaults)
	given, _ := c["ssm_cfg"].(map[string]any)
	if layer := given["layer"]; layer != "Mamba2" {
		return nil, fmt.Errorf("config: ssm_cfg.layer is %v (absent means Mamba1), only \"Mamba2\" is read", layer)
	}
	ssm := withDefaults(given, ssmDefaults)
	for _, must := range []struct {
		config Config
		key    string
		value  bool
	}{{c, "rms_norm", true}, {ssm, "D_has_hdim", false}, {ssm, "rmsnorm", true}, {ssm, "norm_before_gate", false}} {
		if v, err := must.config.Bool(must.key); err != nil || v != must.value {
			return nil, fmt.Errorf("config: %s is %v, only %v is read", must.key, must.config[must.key], must.value)
		}
	}
	if list, ok := c["attn_layer_idx"].([]any); !ok || len(list) > 0 {
		return nil, fmt.Errorf("config: attn_layer_idx is %v, only models without attention layers are read", c["attn_layer_idx"])
	}
	if _, err := c.Int("d_intermediate", 0, 0); err != nil {
		return nil, fmt.Errorf("only models without MLP blocks are read: %w", err)
	}
	n := map[string]int{}
	var failure error
	get := func(config Config, keys ...string) {
		for _, key := range keys {
			v, err := config.Int(key, 1, bigDim)
			if err != nil && failure == nil {
				failure = err
			}
			n[key] = v
		}
	}
	get(c, "d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple")
	get(ssm, "d_state", "d_conv", "expand", "headdim", "ngroups", "chunk_size")
	if failure != nil {
		return nil, failure
	}
	inner := n["expand"] * n["d_model"]
	if d, ok := configFloat(ssm["d_ssm"]); ok && d != float64(inner) {
		return nil, fmt.Errorf("config: ssm_cfg.d_ssm is %v, only expand*d_model = %d is read", d, inner)
	}
	if inner%n["headdim"] != 0 {
		return nil, fmt.Errorf("config: ssm_cfg.headdim is %d, must divide expand*d_model = %d", n["headdim"], inner)
	}
	multiple := n["pad_vocab_size_multiple"]
	number := func(key string) float64 { return float64(n[key]) }
	return withDefaults(Config{
		"model_type": "mamba2", "architectures": []any{"Mamba2ForCausalLM"},
		"hidden_size": number("d_model"), "num_hidden_layers": number("n_layer"),
		"vocab_size": float64((n["vocab_size"] + multiple - 1) / multiple * multiple),
		"state_size": number("d_state"), "conv_kernel": number("d_conv"), "expand": number("expand"), "head_dim": number("headdim"),
		"n_groups": number("ngroups"), "chunk_size": number("chunk_size"), "num_heads": float64(inner / n["headdim"]),
		"time_step_rank": math.Ceil(number("d_model") / 16), "time_step_limit": ssm["dt_limit"], "time_step_min": ssm["dt_min"],
		"time_step_max": ssm["dt_max"], "time_step_floor": ssm["dt_init_floor"], "use_bias": ssm["bias"], "use_conv_bias": ssm["conv_bias"],
		"residual_in_fp32": c["residual_in_fp32"], "layer_norm_epsilon": c["norm_epsilon"], "tie_word_embeddings": c["tie_embeddings"],
		"rescale_prenorm_residual": true, "bos_token_id": 0.0, "eos_token_id": 0.0, "pad_token_id": 0.0,
	}, huggingFaceDefaults), nil
}

// toOfficial translates a config with Hugging Face keys to a mamba_ssm one. The padded vocabulary becomes vocab_size with a padding
// multiple of 1, so that mamba_ssm does not pad it again.
func toOfficial(c Config) (Config, error) {
	c = withDefaults(c, huggingFaceDefaults)
	if eps, err := c.Float("layer_norm_epsilon"); err != nil || eps != 1e-5 {
		return nil, fmt.Errorf("config: layer_norm_epsilon is %v, the official layout has 1e-05 built in: save as %q", c["layer_norm_epsilon"], LayoutHuggingFace)
	}
	if groups, _ := c.Float("n_groups"); c["norm_per_group"] == false && groups != 1 {
		return nil, fmt.Errorf("config: norm_per_group is false, the official layout normalises each of the %g groups: save as %q", groups, LayoutHuggingFace)
	}
	tied, _ := c["tie_word_embeddings"].(bool)
	return Config{
		"d_model": c["hidden_size"], "d_intermediate": 0.0, "n_layer": c["num_hidden_layers"], "vocab_size": c["vocab_size"],
		"ssm_cfg": map[string]any{
			"layer": "Mamba2", "d_state": c["state_size"], "d_conv": c["conv_kernel"], "expand": c["expand"], "headdim": c["head_dim"],
			"ngroups": c["n_groups"], "chunk_size": c["chunk_size"], "bias": c["use_bias"], "conv_bias": c["use_conv_bias"],
			"dt_min": c["time_step_min"], "dt_max": c["time_step_max"], "dt_init_floor": c["time_step_floor"], "dt_limit": c["time_step_limit"],
		},
		"attn_layer_idx": []any{}, "attn_cfg": map[string]any{}, "rms_norm": true, "residual_in_fp32": c["residual_in_fp32"],
		"fused_add_norm": true, "pad_vocab_size_multiple": 1.0, "tie_embeddings": tied,
	}, nil
}

const embeddingName, headName = "backbone.embeddings.weight", "lm_head.weight"

// huggingFaceName translates a tensor name of either layout; only the name of the embedding differs.
func huggingFaceName(name string) string {
	if strings.HasPrefix(name, "backbone.embedding.") {
		return strings.Replace(name, "backbone.embedding.", "backbone.embeddings.", 1)
	}
	return name
}

func officialName(name string) string {
	if name == embeddingName {
		return "backbone.embedding.weight"
	}
	return name
}
