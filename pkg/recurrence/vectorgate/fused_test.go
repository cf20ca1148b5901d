package vectorgate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

func TestKernelsAreBoundToSizes(t *testing.T) {
	for _, keys := range []int{16, 32, 64, 128} {
		c := fusedCall{Dims{Batch: 4, Tokens: 100, Heads: 3, Keys: keys, Values: 40}, 2, 2, true}
		inside, walk := []string{"BEFORE = arith.constant 1", "ROWS = arith.constant 2"}, []string{"V = arith.constant 40"}
		for _, k := range []struct {
			name string
			grid [3]int
			args []string
		}{
			{"inside", [3]int{3, 2, 4}, inside}, {"inside-backward", [3]int{3 * max(1, keys/32), 2, 4}, inside},
			{"walk", [3]int{3, 2, 4}, walk}, {"adjoint", [3]int{3, 2, 4}, walk}, {"walk-backward", [3]int{3, 2, 4}, walk},
		} {
			bound := c.kernel(k.name)
			head, _, _ := strings.Cut(bound.Source, "{noinline")
			if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") {
				t.Errorf("%s still has integer arguments: %s", k.name, head)
			}
			if bound.Grid != k.grid {
				t.Errorf("%s for %d keys: grid %v, want %v", k.name, keys, bound.Grid, k.grid)
			}
			want := append([]string{"T = arith.constant 100", "H = arith.constant 3", "CHUNKS = arith.constant 2"}, k.args...)
			for _, text := range append(want, "@vector_"+strings.ReplaceAll(k.name, "-", "_")+"(") {
				if !strings.Contains(bound.Source, text) {
					t.Errorf("%s: %q is missing", k.name, text)
				}
			}
		}
	}
}

// TestFusedReachesTheCompiler: values and gradients have their operands' shapes, so that XLA on a CPU only misses the kernels.
func TestFusedReachesTheCompiler(t *testing.T) {
	dev, err := xla.Open("cpu")
	if err != nil {
		t.Skipf("needs XLA: %v", err)
	}
	e := MustNewExec(dev.Backend, func(x, g, initial, bonus *Node) []*Node {
		q := ConvertDType(x, dtypes.BFloat16)
		leaves := []*Node{q, q, q, g, initial, bonus}
		y, last := fused(Operands{Q: q, K: q, V: q, LogDecay: g, Initial: initial, Bonus: bonus})
		outs := append([]*Node{y, last}, Gradient(Add(ReduceAllSum(Square(y)), ReduceAllSum(Square(last))), leaves...)...)
		for i, want := range append([]*Node{x, initial}, leaves...) {
			if fmt.Sprint(outs[i].Shape().Dimensions) != fmt.Sprint(want.Shape().Dimensions) {
				t.Errorf("output %d is %s, want the shape of %s", i, outs[i].Shape(), want.Shape())
			}
		}
		return outs
	})
	x := tensors.FromShape(shapes.Make(dtypes.Float32, 2, 100, 3, 16))
	_, err = e.Call(x, x, tensors.FromShape(shapes.Make(dtypes.Float32, 2, 3, 16, 16)), tensors.FromShape(shapes.Make(dtypes.Float32, 3, 16)))
	if err == nil || !strings.Contains(err.Error(), "No registered implementation") {
		t.Errorf("%v, want an error about missing kernels", err)
	}
}

// TestFusedEqualsGraph runs where there is an NVIDIA GPU: kernels in bfloat16 against the graph in float32 on the same rounded
// inputs, values and gradients, with gates that forget little, much and at once.
func TestFusedEqualsGraph(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	for _, d := range []Dims{{2, 150, 4, 64, 64}, {1, 1, 2, 16, 16}, {2, 256, 2, 32, 64}, {1, 2048, 2, 128, 32}} {
		for _, bonus := range []int{0, 1, d.Batch} { // none, of all rows, of each row
			for _, forget := range []float64{0.05, 1, 40} {
				compareFused(t, dev, d, bonus, forget)
			}
		}
	}
}

func compareFused(t *testing.T, dev *xla.Device, d Dims, models int, forget float64) {
	r := rand.New(rand.NewPCG(3, uint64(d.Tokens)))
	normal := func(dims ...int) *tensors.Tensor {
		n := 1
		for _, s := range dims {
			n *= s
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(v, dims...)
	}
	token := func(n int) *tensors.Tensor { return normal(d.Batch, d.Tokens, d.Heads, n) }
	state := func() *tensors.Tensor { return normal(d.Batch, d.Heads, d.Keys, d.Values) }
	bonus := normal(max(models, 1), d.Heads, d.Keys)
	args := []any{token(d.Keys), token(d.Keys), token(d.Values), token(d.Keys), state(), bonus, token(d.Values), state()}
	run := func(kernels bool) [][]float32 {
		e := MustNewExec(dev.Backend, func(in []*Node) []*Node {
			leaves := []*Node{nil, nil, nil, MulScalar(Softplus(in[3]), -forget), in[4], in[5]}
			for i, x := range in[:3] {
				leaves[i] = ConvertDType(x, dtypes.BFloat16)
				if !kernels {
					leaves[i] = ConvertDType(leaves[i], dtypes.Float32)
				}
			}
			op := Operands{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Initial: leaves[4], NoKernels: !kernels}
			if models > 0 {
				op.Bonus = leaves[5]
			}
			if models == 1 {
				op.Bonus = Squeeze(op.Bonus, 0)
			}
			if kernels != fusable(op) {
				t.Fatalf("%+v: fusable is %v", d, !kernels)
			}
			y, last := Chunk(op, 64)
			loss := Add(ReduceAllSum(Mul(y, in[6])), ReduceAllSum(Mul(last, in[7])))
			outs := []*Node{y, last}
			for _, x := range Gradient(loss, leaves[:5+min(models, 1)]...) {
				outs = append(outs, ConvertDType(x, dtypes.Float32))
			}
			return outs
		})
		defer e.Finalize()
		var all [][]float32
		for _, o := range e.MustCall(args...) {
			all = append(all, tensors.MustCopyFlatData[float32](o))
		}
		return all
	}
	want, got := run(false), run(true)
	for i, name := range []string{"y", "state", "grad q", "grad k", "grad v", "grad log decay", "grad initial", "grad bonus"}[:len(want)] {
		diff, norm := 0.0, 0.0
		for j := range want[i] {
			diff += math.Pow(float64(got[i][j]-want[i][j]), 2)
			norm += math.Pow(float64(want[i][j]), 2)
		}
		ratio, where := math.Sqrt(diff/max(norm, 1e-30)), fmt.Sprintf("%+v, %d bonuses, forget %g", d, models, forget)
		t.Logf("%s: %s differs by %.2e", where, name, ratio)
		if !(ratio < 0.006) {
			t.Errorf("%s: %s differs by %.2e", where, name, ratio)
		}
	}
}
