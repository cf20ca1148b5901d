package train

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/datasets"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/models"
	"stuffed/xla"
)

// open opens a backend of the tests.
func open(t *testing.T, name string) *xla.Device {
	t.Helper()
	d, err := xla.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fixed gives every member the same rows [steps][B·(T+1)].
type fixed struct {
	rows  [][]int32
	b, t  int
	vocab int
}

func (f fixed) Batcher(Config, int, int, int, Member) (datasets.Batcher, error) { return f, nil }
func (f fixed) Held(int, int) ([][]int32, [][]bool, error)                      { return nil, nil, nil }
func (f fixed) Vocab() int                                                      { return f.vocab }
func (f fixed) Describe() string                                                { return "fixed rows" }
func (f fixed) Close() error                                                    { return nil }
func (f fixed) Shape() (b, t int)                                               { return f.b, f.t }
func (f fixed) Tokens() int64                                                   { return 0 }

func (f fixed) Batch(step int64) (datasets.Batch, error) {
	b := datasets.Batch{B: f.b, T: f.t, Reset: make([]bool, f.b)}
	for r := range f.b {
		row := f.rows[step][r*(f.t+1):][:f.t+1]
		b.Inputs, b.Targets = append(b.Inputs, row[:f.t]...), append(b.Targets, row[1:]...)
	}
	return b, nil
}

// fixture is the AdamW trajectory of the reference: testdata/tiny is a copy of the folder of that name in the shared
// fixtures, where README.md and manifest.json say how it was made and where the tolerances come from.
func fixture(t *testing.T) (*checkpoint.File, fixed) {
	t.Helper()
	file, err := checkpoint.ReadSafetensors("testdata/tiny/train.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := file.Tensors["input_ids"].Int64s()
	if err != nil {
		t.Fatal(err)
	}
	shape := file.Tensors["input_ids"].Shape // [steps, B, T + 1]
	f := fixed{b: shape[1], t: shape[2] - 1}
	for s := range slices.Chunk(ids, shape[1]*shape[2]) {
		row := make([]int32, len(s))
		for i, id := range s {
			row[i] = int32(id)
		}
		f.rows = append(f.rows, row)
	}
	return file, f
}

func fixtureConfig(f fixed) Config {
	c := DefaultConfig()
	c.Steps, c.TrainLength, c.BatchTokens = int64(len(f.rows)), f.t, f.b*f.t
	c.LR, c.Schedule, c.Warmup, c.Output = []float64{1e-3}, "constant", 0, ""
	return c
}

func TestTrajectoryOfReference(t *testing.T) {
	file, f := fixture(t)
	want := func(name string) []float64 {
		v, err := file.Tensors[name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	loss, norm, final := want("loss_truth"), want("grad_norm_truth"), want("final.embeddings_truth")
	for _, variant := range []struct {
		name, backend string
		dtype         dtypes.DType
		set           []string
		lossTol       float64 // suggested_atol of train.evidence; with float64 the rounding of the results to float32
		normTol       float64
		paramTol      float64
	}{
		{"float32, several steps a call", "go", dtypes.Float32, []string{"steps_per_call=2", "accumulate=2"}, 1.4e-5, 2.5e-5, 3.7e-4},
		{"float32, loss in pieces, accumulated, several steps a call", "cpu", dtypes.Float32,
			[]string{"accumulate=2", "steps_per_call=5", "loss_pieces=4"}, 1.4e-5, 2.5e-5, 3.7e-4},
		{"float64", "go", dtypes.Float64, nil, 5e-7, 5e-7, 1e-7},
	} {
		t.Run(variant.backend+" "+variant.name, func(t *testing.T) {
			m, w, err := models.Load("testdata/tiny", variant.dtype)
			if err != nil {
				t.Fatal(err)
			}
			c := fixtureConfig(f)
			c.Model.Config = m.Configuration()
			if err := c.Set(variant.set...); err != nil {
				t.Fatal(err)
			}
			trainer, err := New(open(t, variant.backend), m, w, c, f)
			if err != nil {
				t.Fatal(err)
			}
			var worstLoss, worstNorm float64
			for trainer.Steps() < c.Steps {
				r, err := trainer.Step()
				if err != nil {
					t.Fatal(err)
				}
				for s := range r.Loss {
					k := int(r.Step) + s
					worstLoss = max(worstLoss, math.Abs(float64(r.Loss[s][0])-loss[k]))
					worstNorm = max(worstNorm, math.Abs(float64(r.GradNorm[s][0])-norm[k]))
				}
			}
			values, err := trainer.Weights().Member(0)
			if err != nil {
				t.Fatal(err)
			}
			var worst float64
			for i, v := range values["backbone.embeddings.weight"] {
				worst = max(worst, math.Abs(float64(v)-final[i]))
			}
			t.Logf("largest difference: loss %.2g, gradient norm %.2g, embedding %.2g", worstLoss, worstNorm, worst)
			if !(worstLoss <= variant.lossTol) || !(worstNorm <= variant.normTol) || !(worst <= variant.paramTol) {
				t.Errorf("allowed are %g, %g and %g", variant.lossTol, variant.normTol, variant.paramTol)
			}
		})
	}
}
