package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/models"
)

func TestDamagedSnapshotsArePassedOver(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"flipped bit": func(file string) error {
			content, err := os.ReadFile(file)
			if err == nil {
				content[len(content)/2] ^= 4
				err = os.WriteFile(file, content, 0o644)
			}
			return err
		},
		"cut":     func(file string) error { return os.Truncate(file, 100) },
		"missing": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, "steps=6", "snapshots.every=2")
			if err := start(t, "go", c).Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(c.snapshotRoot(), "step-6", "memory.safetensors")); err != nil {
				t.Fatal(err)
			}
			again := start(t, "go", c)
			var said []string
			again.Message = func(s string) { said = append(said, s) }
			if err := again.Begin(true, false); err != nil || again.Steps() != 4 {
				t.Fatalf("resumed after step %d, error %v; want step 4", again.Steps(), err)
			}
			if !strings.Contains(strings.Join(said, "\n"), "step-6") {
				t.Errorf("nothing said about step 6: %q", said)
			}
			if err := damage(filepath.Join(c.snapshotRoot(), "step-4", "memory.safetensors")); err != nil {
				t.Fatal(err)
			}
			if err := start(t, "go", c).Begin(true, false); !errors.Is(err, checkpoint.ErrNoSnapshot) {
				t.Errorf("no snapshot is whole, error %v", err)
			}
		})
	}
}

func TestOtherConfigurationIsNamed(t *testing.T) {
	c := tiny(t, "steps=2")
	if err := start(t, "go", c).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := start(t, "go", c).Begin(false, false); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("a used folder: %v", err)
	}
	other := c
	if err := other.Set("data.gap=3", "weight_decay=0.2", "valid.every=1"); err != nil {
		t.Fatal(err)
	}
	err := start(t, "go", other).Begin(true, false)
	for _, want := range []string{"data.gap = 4 (now 3)", "weight_decay = 0.1 (now 0.2)", "init="} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "valid") {
		t.Errorf("%v: validation changes no result", err)
	}
}

// A run that begins again does not see the snapshots of the one before, which may be further.
func TestRestart(t *testing.T) {
	c := tiny(t, "steps=3")
	if err := start(t, "go", c).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.Steps = 2
	again := start(t, "go", c)
	if err := again.Begin(false, true); err != nil {
		t.Fatal(err)
	}
	if err := again.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	resumed := start(t, "go", c)
	if err := resumed.Begin(true, false); err != nil || resumed.Steps() != 2 {
		t.Errorf("resumed after step %d: %v", resumed.Steps(), err)
	}
	metrics, err := ReadMetrics(filepath.Join(c.Output, "metrics.jsonl"))
	if err != nil || metrics.Rows() != 2 {
		t.Errorf("%d rows of metrics, want 2: %v", metrics.Rows(), err)
	}
}

// A run goes on from a snapshot's or an exported model's weights as a new run.
func TestContinuedTraining(t *testing.T) {
	c := tiny(t, "steps=3", "policy=zero,passed", "export.ladder=1", "export.first=1")
	first := start(t, "go", c)
	if err := first.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := bits(t, first)["param/backbone.embeddings.weight"]
	for _, from := range []string{filepath.Join(c.snapshotRoot(), "step-3"), filepath.Join(c.Output, "models", c.Members()[0].Name(), "final")} {
		next := tiny(t, "policy=zero,passed", "init="+from, "train_length=32")
		got := bits(t, start(t, "go", next))["param/backbone.embeddings.weight"]
		half := len(want) / 2
		if got[:half] != want[:half] {
			t.Errorf("%s: other weights", from)
		}
		if snapshot := strings.HasSuffix(from, "step-3"); snapshot != (got[half:] == want[half:]) {
			t.Errorf("%s: the second member starts from the wrong weights", from)
		}
	}
	if _, err := Open(open(t, "go"), tiny(t, "init="+c.Output, "model.width=32")); err == nil {
		t.Error("a folder without weights was taken")
	}
	out := t.TempDir()
	written, err := ExportSnapshot(c.Output, out, -1, "huggingface", "F32")
	if err != nil || len(written) != 2 {
		t.Fatal(written, err)
	}
	_, w, err := models.Load(written[1], dtypes.Float32)
	if err != nil {
		t.Fatal(err)
	}
	exported, err := w.Member(0)
	if err != nil {
		t.Fatal(err)
	}
	trained, err := first.Weights().Member(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range trained {
		for i := range v {
			if v[i] != exported[name][i] {
				t.Fatalf("%s[%d] is %g in the export, %g in the run", name, i, exported[name][i], v[i])
			}
		}
	}
	if _, err := os.Stat(filepath.Join(c.Output, "models", c.Members()[1].Name(), "step-1", "training.json")); err != nil {
		t.Error(err)
	}
}
