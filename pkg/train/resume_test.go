package train

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/manifest"
	"stuffed/xla"
)

// Steps that follow a snapshot are those of the run that wrote it, within 1e-6: on an NVIDIA GPU where there is one, with the
// recurrence's kernels in bfloat16 and with XLA's deterministic operations, else on the Go backend.
func TestResumeWithinRounding(t *testing.T) {
	if os.Getenv("XLA_FLAGS") == "" { // before the plug-in is loaded
		t.Setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
	}
	d, err := xla.Open("cuda")
	computes := []string{"f32", "bf16"}
	if err != nil {
		t.Logf("on the Go backend: %v", err)
		d, computes = open(t, "go"), []string{"f32"}
	}
	begin := func(t *testing.T, c Config) *Trainer {
		trainer, err := Open(d, c)
		if err != nil {
			t.Fatal(err)
		}
		return trainer
	}
	for _, compute := range computes {
		t.Run(d.Kind+" "+compute, func(t *testing.T) {
			c := tiny(t, "policy=zero,carried,passed", "model.width=64", "model.head_dim=64", "model.state=16", "compute="+compute, "snapshots.every=4")
			straight := begin(t, c)
			if err := straight.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			want := floats(t, straight)
			wantLoss := lossesOf(t, c.Output)
			if err := os.RemoveAll(filepath.Join(c.snapshotRoot(), "step-8")); err != nil {
				t.Fatal(err)
			}
			rest := begin(t, c)
			if err := rest.Begin(true, false); err != nil || rest.Steps() != 4 {
				t.Fatalf("resumed after step %d, want 4: %v", rest.Steps(), err)
			}
			if err := rest.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := floats(t, rest)
			got["losses"], want["losses"] = lossesOf(t, c.Output), wantLoss
			worst, at := 0.0, "no tensor"
			for name, w := range want {
				if d := apart(got[name], w); !(d <= worst) {
					worst, at = d, name
				}
			}
			t.Logf("%d tensors, largest relative difference %.2g (%s)", len(want), worst, at)
			if !(worst <= 1e-6) || len(got) != len(want) || len(wantLoss) != 8*3 {
				t.Errorf("%s differs by %.2g, allowed is 1e-6; %d losses", at, worst, len(wantLoss))
			}
		})
	}
}

// floats are the float tensors of the memory, by name.
func floats(t *testing.T, trainer *Trainer) map[string][]float32 {
	t.Helper()
	_, names := trainer.program.shapes()
	out := map[string][]float32{}
	for i, name := range names {
		if trainer.carry[i].DType().IsFloat() {
			v, err := tensors.CopyFlatData[float32](trainer.carry[i])
			if err != nil {
				t.Fatal(err)
			}
			out[name] = v
		}
	}
	return out
}

// lossesOf are the losses of all steps in a run's metrics.
func lossesOf(t *testing.T, folder string) (all []float32) {
	t.Helper()
	var made manifest.Manifest
	if text, err := os.ReadFile(filepath.Join(folder, "manifest.json")); err != nil {
		t.Error(err)
	} else if err := json.Unmarshal(text, &made); err != nil || made.Date == "" || made.Backend == "" || made.Config == "" {
		t.Errorf("manifest %s (%v)", text, err)
	}
	metrics, err := ReadMetrics(filepath.Join(folder, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range metrics.Columns {
		if strings.HasPrefix(c.Name, "loss") {
			for _, v := range c.Floats {
				all = append(all, float32(v))
			}
		}
	}
	return all
}

// apart is ‖a − b‖ / ‖b‖, 0 for equal zeros.
func apart(a, b []float32) float64 {
	diff, norm := 0.0, 0.0
	for i := range b {
		diff, norm = diff+math.Pow(float64(a[i])-float64(b[i]), 2), norm+math.Pow(float64(b[i]), 2)
	}
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff / norm)
}
