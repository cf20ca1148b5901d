package models_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/models"
)

// TestPublishedFoldersComeBack: what is written of a published folder holds the same tensors and means the same configuration.
func TestPublishedFoldersComeBack(t *testing.T) {
	for _, name := range []string{"gla", "hgrn2", "retnet", "rwkv4", "rwkv6", "mamba1", "rwkv7", "deltanet", "gateddeltanet", "kda", "llama", "gptneox"} {
		from, to := filepath.Join("../arch", name, "testdata"), filepath.Join(t.TempDir(), name)
		m, w, err := models.Load(from, dtypes.Float32)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := models.Save(to, m, w, 0, models.Default, "F32"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, _, err := models.Load(to, dtypes.Float32)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again.Hash() != m.Hash() {
			t.Errorf("%s: %+v came back as %+v", name, m.Configuration(), again.Configuration())
		}
		sameTensors(t, name, from, to)
	}
}

func sameTensors(t *testing.T, name, from, to string) {
	t.Helper()
	a, err := checkpoint.ReadWeights(from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := checkpoint.ReadWeights(to)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Tensors) != len(b.Tensors) {
		t.Errorf("%s: %d tensors, were %d", name, len(b.Tensors), len(a.Tensors))
	}
	for n, x := range a.Tensors {
		if y := b.Tensors[n]; y == nil || string(x.Data) != string(y.Data) {
			t.Errorf("%s: tensor %s is gone or changed", name, n)
		}
	}
}

// TestTensorsThatDoNotFitAreNamed: a size that the tensors do not have.
func TestTensorsThatDoNotFitAreNamed(t *testing.T) {
	for name, key := range map[string]string{"gla": "hidden_size", "rwkv6": "hidden_size", "mamba1": "state_size"} {
		dir := t.TempDir()
		from := filepath.Join("../arch", name, "testdata")
		text, err := os.ReadFile(filepath.Join(from, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]any{}
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		keys[key] = keys[key].(float64) * 2
		if text, err = json.Marshal(keys); err != nil {
			t.Fatal(err)
		}
		weights, err := os.ReadFile(filepath.Join(from, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string][]byte{"config.json": text, "model.safetensors": weights} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := models.Load(dir, dtypes.Float32); err == nil || !strings.Contains(err.Error(), "tensor ") {
			t.Errorf("%s with another %s: %v", name, key, err)
		}
	}
}
