package models_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/xla"
)

// python is STUFFED_PYTHON, or that of the folder .venv, if it has transformers.
func python(t *testing.T) string {
	name := os.Getenv("STUFFED_PYTHON")
	if name == "" {
		name = "../../.venv/bin/python"
	}
	out, err := exec.Command(name, "-c", "import transformers, torch, safetensors").CombinedOutput()
	if err != nil {
		t.Skipf("%s has no transformers and torch (set STUFFED_PYTHON to one that has): %v %s", name, err, strings.TrimSpace(string(out)))
	}
	return name
}

// TestTransformersGivesTheSameLogits: what models.Save writes loads there, and computes the same.
func TestTransformersGivesTheSameLogits(t *testing.T) {
	interpreter := python(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *mamba2.Config){
		"tied": nil, "untied with biases": func(c *mamba2.Config) { c.Tied, c.UseBias, c.ConvBias = false, true, false },
		"two groups, limits": func(c *mamba2.Config) { c.Groups, c.DeltaMin, c.DeltaMax = 2, 0.01, 0.05 },
	} {
		for _, dtype := range []string{"F32", "BF16"} {
			c := mamba2.Default(32, 3, 64)
			c.HeadDim, c.State, c.NormPer = 8, 16, false
			if change != nil {
				change(&c)
			}
			m, err := mamba2.New(c)
			if err != nil {
				t.Fatal(err)
			}
			w, err := lm.InitialWeights(m, 7)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "model")
			if err := models.Save(dir, m, w, 0, checkpoint.LayoutHuggingFace, dtype); err != nil {
				t.Fatal(err)
			}
			difference := compare(t, interpreter, d, dir)
			t.Logf("%s %s: max abs difference %g", name, dtype, difference)
			if !(difference < 2e-5) {
				t.Errorf("%s %s: logits differ by %g", name, dtype, difference)
			}
		}
	}
}

// compare runs the folder here and there.
func compare(t *testing.T, interpreter string, d *xla.Device, dir string) (difference float64) {
	t.Helper()
	m, w, err := models.Load(dir, dtypes.Float32)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]int32, 37)
	ids := make([]int64, len(row))
	for i := range row {
		row[i] = int32(i * i % m.Vocab())
		ids[i] = int64(row[i])
	}
	var logits []float32
	_, err = lm.NewRunner(d, w).Run(context.Background(), [][]int32{row}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		logits = append(logits, p.Logits...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := checkpoint.FromInt64([]int{1, len(ids)}, ids)
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := checkpoint.FromFloat32([]int{1, len(ids), m.Vocab()}, logits)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "logits.safetensors")
	if err := checkpoint.WriteSafetensors(path, map[string]*checkpoint.Tensor{"input_ids": inputs, "logits": outputs}, nil); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(interpreter, "../../.ci/transformers_check.py", dir, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var size float64
	if _, err := fmt.Sscanf(lines[len(lines)-1], "max abs difference %g of %g", &difference, &size); err != nil {
		t.Fatalf("unexpected output %q", out)
	}
	return difference
}
