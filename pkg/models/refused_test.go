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
