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
	cases := []struct {
		name, dtype string
		change      func(c *mamba2.Config)
	}{
		{"tied", "F32", func(*mamba2.Config) {}}, {"tied", "BF16", func(*mamba2.Config) {}},
		{"untied with biases", "F32", func(c *mamba2.Config) { c.Tied, c.UseBias, c.ConvBias = false, true, false }},
		{"limits", "F32", func(c *mamba2.Config) { c.DeltaMin, c.DeltaMax = 0.01, 0.05 }},
		{"two groups, norm over all", "F32", func(c *mamba2.Config) { c.Groups, c.NormPer = 2, false }},
		{"two groups, norm per group", "F32", func(c *mamba2.Config) { c.Groups, c.NormPer = 2, true }},
	}
	args := []string{"../../.ci/transformers_check.py"}
	for _, c := range cases {
		config := mamba2.Default(32, 3, 64)
		config.HeadDim, config.State = 8, 16
		c.change(&config)
		dir := filepath.Join(t.TempDir(), "model")
		save(t, d, config, dir, c.dtype)
		args = append(args, dir)
	}
	out, err := exec.Command(interpreter, args...).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(cases) {
		t.Fatalf("unexpected output %q", out)
	}
	norms := 0 // transformers has one of the two gated norms, which depends on its version
	for i, c := range cases {
		t.Logf("%s %s: max abs difference %s", c.name, c.dtype, lines[i])
		var difference, size float64
		if _, err := fmt.Sscanf(lines[i], "%g of %g", &difference, &size); err != nil {
			t.Fatal(err)
		}
		switch same := difference < 2e-5; {
		case strings.Contains(c.name, "norm") && same:
			norms++
		case !strings.Contains(c.name, "norm") && !same:
			t.Errorf("%s %s: logits differ by %g", c.name, c.dtype, difference)
		}
	}
	if norms != 1 {
		t.Errorf("with two groups, %d of the two gated norms agree, want 1", norms)
	}
}

// save writes a model and, into its folder check, the logits that it has when read back.
func save(t *testing.T, d *xla.Device, c mamba2.Config, dir, dtype string) {
	t.Helper()
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := models.Save(dir, m, w, 0, checkpoint.LayoutHuggingFace, dtype); err != nil {
		t.Fatal(err)
	}
	loaded, w, err := models.Load(dir, dtypes.Float32)
	if err != nil || loaded.Hash() != m.Hash() {
		t.Fatalf("%+v came back as %+v, %v", m, loaded, err)
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
	if err := os.Mkdir(filepath.Join(dir, "check"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "check", "logits.safetensors")
	if err := checkpoint.WriteSafetensors(path, map[string]*checkpoint.Tensor{"input_ids": inputs, "logits": outputs}, nil); err != nil {
		t.Fatal(err)
	}
}
