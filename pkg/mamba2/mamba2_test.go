package mamba2_test

import (
	"os"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/xla"
)

var (
	once   sync.Once
	opened []*xla.Device
)

// devices are the Go backend and, where its plug-in is installed, XLA on the CPU.
func devices(t testing.TB) []*xla.Device {
	t.Helper()
	once.Do(func() {
		if os.Getenv("XLA_FLAGS") == "" { // most of the time of these tests is LLVM's
			os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
		}
		for _, name := range []string{"go", "cpu"} {
			d, err := xla.Open(name)
			if err == nil {
				opened = append(opened, d)
			} else if name == "go" {
				t.Fatal(err)
			}
		}
	})
	return opened
}

// evaluate runs a graph of the parameters and args.
func evaluate(t testing.TB, d *xla.Device, w *lm.Weights, fn func(params map[string]*Node, in []*Node) []*Node, args ...any) [][]float64 {
	t.Helper()
	e := MustNewExec(d.Backend, func(in []*Node) []*Node { return fn(nodesOf(w, in)) })
	defer e.Finalize()
	outs, err := e.Call(argsOf(w, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float64
	for _, o := range outs {
		all = append(all, floats(o))
	}
	return all
}

func floats(o *tensors.Tensor) []float64 {
	if o.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](o)
	}
	var out []float64
	for _, v := range tensors.MustCopyFlatData[float32](o) {
		out = append(out, float64(v))
	}
	return out
}

// typed makes a tensor of float64 or float32.
func typed(dtype dtypes.DType, v []float64, dims ...int) *tensors.Tensor {
	if dtype == dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(v, dims...)
	}
	single := make([]float32, len(v))
	for i := range v {
		single[i] = float32(v[i])
	}
	return tensors.FromFlatDataAndDimensions(single, dims...)
}

// meanLoss is the mean of −log p(next token) over all tokens but the last.
func meanLoss(m mamba2.Model, c lm.Call) *Node {
	n := c.Tokens.Shape().Dim(1)
	logits := m.Logits(c, m.Forward(c).Hidden)
	return ReduceAllMean(lm.TokenLoss(SliceAxis(logits, 1, AxisRange(0, n-1)), SliceAxis(c.Tokens, 1, AxisRange(1, n))))
}

// inOrder lists the parameters as Model.Parameters does.
func inOrder(w *lm.Weights, params map[string]*Node) (list []*Node) {
	for _, s := range w.Specs {
		list = append(list, params[s.Name])
	}
	return list
}

// reference is a small model and what float64 code of another hand computed from it.
type reference struct {
	name, folder string
	truth, grads *checkpoint.File
}

func references(t testing.TB) (all []reference) {
	for _, r := range []reference{{name: "tiny", folder: "../checkpoint/testdata/tiny"}, {name: "groups", folder: "testdata/groups"}} {
		var err error
		if r.truth, err = checkpoint.ReadSafetensors("testdata/" + r.name + "/truth.safetensors"); err != nil {
			t.Fatal(err)
		}
		if r.grads, err = checkpoint.ReadSafetensors("testdata/" + r.name + "/grads.safetensors"); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func (r reference) load(t testing.TB, dtype dtypes.DType) (mamba2.Model, *lm.Weights) {
	t.Helper()
	m, w, err := models.Load(r.folder, dtype)
	if err != nil {
		t.Fatal(err)
	}
	return m.(mamba2.Model), w
}

func (r reference) values(t testing.TB, name string) (v []float64, shape []int) {
	t.Helper()
	x, err := r.truth.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = x.Float64s(); err != nil {
		t.Fatal(err)
	}
	return v, x.Shape
}

func (r reference) ids(t testing.TB, name string) (v []int32, shape []int) {
	t.Helper()
	x, err := r.truth.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := x.Int64s()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range wide {
		v = append(v, int32(id))
	}
	return v, x.Shape
}
