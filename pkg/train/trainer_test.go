package train

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/table"
)

// tiny is a run of a model that trains in milliseconds a step.
func tiny(t *testing.T, set ...string) Config {
	t.Helper()
	c := DefaultConfig()
	base := []string{"model.width=16", "model.head_dim=8", "model.state=4", "model.chunk=8", "data.keys=12", "data.values=4", "data.gap=4",
		"train_length=16", "batch_tokens=64", "steps=8", "warmup=2", "log.every=1", "valid.every=-1", "chain=3", "output=" + t.TempDir()}
	if err := c.Set(append(base, set...)...); err != nil {
		t.Fatal(err)
	}
	return c
}

// start opens a trainer of a configuration.
func start(t *testing.T, backend string, c Config) *Trainer {
	t.Helper()
	trainer, err := Open(open(t, backend), c)
	if err != nil {
		t.Fatal(err)
	}
	return trainer
}

// losses makes steps until step n and returns [step][member].
func losses(t *testing.T, trainer *Trainer, n int64) (all [][]float32) {
	t.Helper()
	for trainer.Steps() < n {
		r, err := trainer.Step()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Loss...)
	}
	return all
}

// bits is everything that training changes, as bytes.
func bits(t *testing.T, trainer *Trainer) map[string]string {
	t.Helper()
	_, names := trainer.program.shapes()
	out := map[string]string{}
	for i, name := range names {
		if err := trainer.carry[i].ConstBytes(func(b []byte) { out[name] = string(b) }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func sameBits(t *testing.T, a, b map[string]string) {
	t.Helper()
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs", name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d tensors, want %d", len(b), len(a))
	}
}

func TestResumeIsBitEqual(t *testing.T) {
	all := "policy=" + strings.Join(Policies, ",")
	for _, v := range []struct {
		backend string
		set     []string
	}{
		{"go", []string{"policy=zero", "valid.every=4"}}, {"go", []string{"policy=carried"}}, {"go", []string{"policy=passed", "accumulate=2"}},
		{"go", []string{"policy=gaussian"}}, {"go", []string{"policy=fitted", "accumulate=2"}}, {"go", []string{"policy=learned", "seeds=0,1"}},
		{"go", []string{all, "accumulate=2"}},
		{"go", []string{"policy=passed", `stages=[{"train_length":8,"steps":3},{"train_length":32,"steps":5}]`}},
		{"cpu", []string{all, "accumulate=2", "steps_per_call=2", "model.layers=1", "unroll=true"}},
	} {
		t.Run(v.backend+" "+strings.Join(v.set, " "), func(t *testing.T) {
			straight := start(t, v.backend, tiny(t, append(v.set, "snapshots.every=4")...))
			if err := straight.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			c := tiny(t, append(v.set, "snapshots.every=4")...)
			half := start(t, v.backend, c)
			ctx, cancel := context.WithCancel(context.Background())
			half.Notify = func(s Status) {
				if s.Step == 4 {
					cancel()
				}
			}
			if err := half.Run(ctx); err == nil || !strings.Contains(err.Error(), "--resume") {
				t.Fatalf("a stopped run said %v", err)
			}
			rest := start(t, v.backend, c)
			if err := rest.Begin(true, false); err != nil {
				t.Fatal(err)
			}
			if rest.Steps() != 4 {
				t.Fatalf("resumed after step %d, want 4", rest.Steps())
			}
			if err := rest.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			sameBits(t, bits(t, straight), bits(t, rest))
			every := straight.Config.Valid.Every
			for _, dir := range []string{straight.Config.Output, c.Output} { // a validation that was cut short comes again
				if every < 0 {
					break
				}
				rows, err := table.Read(filepath.Join(dir, "valid.parquet"))
				if err != nil {
					t.Fatal(err)
				}
				steps, err := rows.Int("step")
				if err != nil || !slices.Contains(steps, every) {
					t.Errorf("%s: validations after steps %v: %v", dir, steps, err)
				}
			}
			for _, file := range []string{"metrics.parquet"} {
				a, errA := ReadMetrics(filepath.Join(straight.Config.Output, "metrics.jsonl"))
				b, errB := ReadMetrics(filepath.Join(c.Output, "metrics.jsonl"))
				if errA != nil || errB != nil {
					t.Fatal(errA, errB)
				}
				for _, name := range []string{"step", "loss", "grad_norm", "rate"} {
					x, _ := a.Float(name)
					y, _ := b.Float(name)
					if fmt.Sprint(x) != fmt.Sprint(y) {
						t.Errorf("%s: column %s differs: %v, %v", file, name, x, y)
					}
				}
				if _, err := os.Stat(filepath.Join(c.Output, file)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Members side by side are the models that separate runs give, within rounding.
func TestMembersEqualSeparateRuns(t *testing.T) {
	c := tiny(t, "policy="+strings.Join(Policies, ","), "seeds=3,4", "steps=6")
	together := losses(t, start(t, "go", c), 6)
	for r, member := range c.Members() {
		one := c
		one.Policy, one.Seeds = []string{member.Policy}, []int64{member.Seed}
		for s, l := range losses(t, start(t, "go", one), 6) {
			if d := math.Abs(float64(l[0] - together[s][r])); !(d < 2e-6) {
				t.Errorf("step %d, %s: loss %g alone, %g together", s, member.Name(), l[0], together[s][r])
			}
		}
	}
}

// A carried run over one document's segments has the losses of one pass over all of it, per segment.
func TestCarriedSegmentsEqualOnePass(t *testing.T) {
	c := tiny(t, "policy=carried", "train_length=4", "batch_tokens=8", "chain=16", "steps=16", "lr=1e-30", "weight_decay=0")
	trainer := start(t, "go", c)
	var rows [][]int32
	for i := range 2 {
		row, _, _ := c.Data.stream(0).Sequence(int64(i), 65)
		rows = append(rows, row)
	}
	want, err := trainer.HeldLoss(context.Background(), rows)
	if err != nil {
		t.Fatal(err)
	}
	for s, got := range losses(t, trainer, 16) {
		mean := 0.0
		for _, row := range want {
			for _, l := range row[4*s:][:4] {
				mean += float64(l) / 8
			}
		}
		if d := math.Abs(float64(got[0]) - mean); !(d < 2e-6) {
			t.Errorf("segment %d: loss %g, in one pass %g", s, got[0], mean)
		}
	}
}

// NaN gradients change nothing but the count of skips, and too many in a row end the run.
func TestNaNIsSkipped(t *testing.T) {
	c := tiny(t, "policy=passed", "seeds=0,1", "skip_limit=2")
	trainer := start(t, "go", c)
	losses(t, trainer, 1)
	flat, err := tensors.CopyFlatData[float32](trainer.carry[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range flat[:len(flat)/2] { // the embedding of member 0
		flat[i] = float32(math.NaN())
	}
	trainer.carry[0] = tensors.FromFlatDataAndDimensions(flat, trainer.carry[0].Shape().Dimensions...)
	before := bits(t, trainer)
	r, err := trainer.Step()
	if err != nil {
		t.Fatal(err)
	}
	if r.Skipped[0][0] != 1 || r.Skipped[0][1] != 0 || math.IsNaN(float64(r.Loss[0][1])) {
		t.Errorf("skipped %v, losses %v", r.Skipped, r.Loss)
	}
	half := func(m map[string]string, name string, r int) string { n := len(m[name]) / 2; return m[name][r*n:][:n] }
	after := bits(t, trainer)
	if name := "adam_m/backbone.norm_f.weight"; half(before, name, 0) != half(after, name, 0) || half(before, name, 1) == half(after, name, 1) {
		t.Error("the moments of the broken member must stay and those of the other move")
	}
	for range 3 {
		_, err = trainer.Step()
	}
	if err == nil || !strings.Contains(err.Error(), "skip_limit") {
		t.Errorf("after 4 skips: %v", err)
	}
}
