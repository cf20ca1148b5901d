package models_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// TestPublishedFoldersThatDoNotFit names what is wrong.
func TestPublishedFoldersThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ model, from, to, want string }{
		{"deltanet", `"num_heads": 4`, `"num_heads": 5`, "attn.b_proj.weight has shape [4 40], config.json asks for [5 40]"},
		{"deltanet", `"attn": null`, `"attn": {"layers": [1]}`, "attn"},
		{"llama", `"num_key_value_heads": 2`, `"num_key_value_heads": 3`, "num_key_value_heads"},
		{"llama", `"rope_type": "default"`, `"rope_type": "llama3"`, "llama3"},
		{"gptneox", `"num_hidden_layers": 2`, `"num_hidden_layers": 1`, "gpt_neox.layers.1.attention.dense.bias has no place"},
		{"kda", `"hidden_act": "swish"`, `"hidden_act": "gelu"`, "hidden_act"},
		{"rwkv7", `"head_dim": 16`, `"head_dim": 12`, "num_heads"},
	} {
		dir, from := t.TempDir(), filepath.Join("../arch", c.model, "testdata")
		for _, name := range []string{"config.json", "model.safetensors"} {
			text, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			if name == "config.json" {
				if !strings.Contains(string(text), c.from) {
					t.Fatalf("%s: config.json has no %s", c.model, c.from)
				}
				text = []byte(strings.Replace(string(text), c.from, c.to, 1))
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := models.Load(dir, dtypes.Float32); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: error %v, want one with %q", c.model, c.to, err, c.want)
		}
	}
}

// TestUnknownAndHybridConfigurations name the architecture, and the kinds of a hybrid's layers.
func TestUnknownAndHybridConfigurations(t *testing.T) {
	for config, want := range map[string]string{
		`{"model_type": "xlstm"}`: "model_type is xlstm; there are ",
		`{"model_type": "qwen3_next", "layer_types": ["linear_attention", "linear_attention", "full_attention"]}`: "layers of the kinds linear_attention and full_attention, which are not read together",
		`{"model_type": "zamba2", "layers_block_type": ["mamba", "hybrid"]}`:                                      "kinds mamba and hybrid",
		`{"model_type": "nemotron_h", "hybrid_override_pattern": "M-M*-"}`:                                        "kinds mamba and mlp and attention",
		`{"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4}`:                                 "kinds mamba and attention",
		`{"model_type": "bamba", "attn_layer_indices": [9, 18]}`:                                                  "kinds mamba and attention",
		`{"model_type": "kimi_linear", "linear_attn_config": {"full_attn_layers": [4]}}`:                          "kinds linear attention and attention",
		`{"model_type": "falcon_h1", "mamba_d_ssm": 1024}`:                                                        "kinds mamba and attention",
		`{"d_model": 64, "n_layer": 2, "vocab_size": 64, "ssm_cfg": {"layer": "Mamba3"}}`:                         "ssm_cfg.layer is Mamba3; there are ",
		`{"model_type": "gpt_neox", "rope_scaling": {"type": "linear", "factor": 2}}`:                             "rope_scaling of type linear",
		`{"model_type": "llama", "rope_scaling": {"type": "yarn", "factor": 2}}`:                                  "rope_scaling of type yarn",
		`{"model_type": "kda", "hidden_size": "big"}`:                                                             "config: hidden_size is of type string, must be a whole number",
		`{"model_type": "mamba", "num_hidden_layers": 2.5}`:                                                       "config: num_hidden_layers is 2.5, must be a whole number",
		`{"model_type": "rwkv", "tie_word_embeddings": 1}`:                                                        "config: tie_word_embeddings is of type number, must be true or false",
		`{"model_type": "rwkv6", "layer_norm_epsilon": "small"}`:                                                  "must be a number",
		`{"model_type": `: "ends before its closing brace",
		`{"model_type": "gla", "attn": {"layers": [3]}}`:                                        "not layers of attention among them",
		`{"d_model": 64, "n_layer": 2, "vocab_size": 64, "ssm_cfg": {}, "attn_layer_idx": [1]}`: "not attention among them",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := models.Load(dir, dtypes.Float32); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", config, err, want)
		}
	}
}

// TestPresetsOfEveryArchitecture have parameters and a state.
func TestPresetsOfEveryArchitecture(t *testing.T) {
	for _, name := range []string{"deltanet/byte", "gated-deltanet/byte", "kda/byte", "rwkv7/byte", "llama/byte", "gpt-neox/byte"} {
		c, err := lm.Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.New()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lm.InitialWeights(m, 1); err != nil || c.Sizes().Carried == 0 {
			t.Errorf("%s: %v, %+v", name, err, c.Sizes())
		}
	}
}
