package delta

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
		c := fusedCall{Dims{Batch: 4, Tokens: 100, Heads: 3, Key: keys, Value: 70}, 2, "inside"}
		for name, want := range map[string][3]int{"inside": {3, 2, 4}, "inside-backward": {3, 2, 4}, "keyed": {3, 2, 4},
			"keyed-backward": {3 * max(1, keys/32), 2, 4}, "walk": {3, 3, 4}, "adjoint": {3, 3, 4}, "walk-backward": {3, 2, 4},
			"general": {3, 2, 4}, "general-backward": {3 * max(1, keys/32), 2, 4}, "general-walk": {3, 3, 4}, "general-adjoint": {3, 3, 4},
			"general-walk-backward": {3, 2, 4}} {
			bound := c.kernel(name)
			head, _, _ := strings.Cut(bound.Source, "{noinline")
			if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") {
				t.Errorf("%s still has integer arguments: %s", name, head)
			}
			if bound.Grid != want {
				t.Errorf("%s for %d keys: grid %v, want %v", name, keys, bound.Grid, want)
			}
			texts := []string{"T = arith.constant 100", "H = arith.constant 3", "CHUNKS = arith.constant 2", "@delta_" + strings.ReplaceAll(name, "-", "_") + "("}
			if strings.Contains(name, "walk") || strings.Contains(name, "adjoint") {
				texts = append(texts, "V = arith.constant 70")
			}
			for _, text := range texts {
				if !strings.Contains(bound.Source, text) {
					t.Errorf("%s: %q is missing", name, text)
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
	of := func(dims ...int) *tensors.Tensor { return tensors.FromShape(shapes.Make(dtypes.Float32, dims...)) }
	for form, g := range []*tensors.Tensor{of(2, 100, 3), of(2, 100, 3, 16), of(2, 100, 3, 16)} {
		e := MustNewExec(dev.Backend, func(x, beta, g, initial *Node) []*Node {
			op := Rule(x, x, x, g, beta)
			if form == 2 {
				op.Read = x
			}
			op.Initial = initial
			r := fused(op)
			sum, squares := r.Moments()
			leaves := []*Node{x, beta, g, initial}
			outs := append([]*Node{r.Y, r.State}, Gradient(Add(ReduceAllSum(Square(r.Y)), ReduceAllSum(Square(r.State))), leaves...)...)
			for i, want := range append([]*Node{x, initial}, leaves...) {
				if fmt.Sprint(outs[i].Shape()) != fmt.Sprint(want.Shape()) {
					t.Errorf("output %d is %s, want %s", i, outs[i].Shape(), want.Shape())
				}
			}
			return append(outs, sum, squares)
		})
		_, err := e.Call(of(2, 100, 3, 16), of(2, 100, 3), g, of(2, 3, 16, 16))
		if err == nil || !strings.Contains(err.Error(), "No registered implementation") {
			t.Errorf("%v, want an error about missing kernels", err)
		}
	}
}

// TestFusedTakesWhatRuleMade: an operand that was changed afterwards is not what the kernels compute.
func TestFusedTakesWhatRuleMade(t *testing.T) {
	dev, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	MustNewExec(dev.Backend, func(x, g *Node) *Node {
		op := Rule(x, x, x, g, g)
		op.Half = true
		other := op
		other.Read = ZerosLike(x)
		if !ofRule(op) || ofRule(other) {
			t.Errorf("ofRule is %v and, with another Read, %v; want true and false", ofRule(op), ofRule(other))
		}
		if fusable(op) {
			t.Error("fusable without an NVIDIA GPU")
		}
		return Add(ReduceAllSum(x), ReduceAllSum(g))
	}).MustCall(tensors.FromShape(shapes.Make(dtypes.Float32, 1, 2, 1, 16)), tensors.FromShape(shapes.Make(dtypes.Float32, 1, 2, 1)))
}

// TestFusedEqualsGraph runs where there is an NVIDIA GPU: kernels in bfloat16 against the graph in float32 on the same rounded
// inputs, values, moments of the states and gradients, without decay and with decays per head and per key that forget little, much and at once.
func TestFusedEqualsGraph(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	for _, d := range []Dims{{2, 150, 4, 64, 64}, {4, 1, 4, 16, 16}, {2, 256, 2, 32, 64}, {1, 1024, 2, 128, 40}} {
		for _, forget := range []float64{0, 0.05, 1, 40} {
			compareFused(t, dev, d, "per head", forget)
			if forget > 0 {
				compareFused(t, dev, d, "per key", forget)
				compareFused(t, dev, d, "general", forget)
			}
		}
	}
}

func compareFused(t *testing.T, dev *xla.Device, d Dims, form string, forget float64) {
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
	perHead := func() *tensors.Tensor { return normal(d.Batch, d.Tokens, d.Heads) }
	state := func() *tensors.Tensor { return normal(d.Batch, d.Heads, d.Key, d.Value) }
	gates := perHead
	if form != "per head" {
		gates = func() *tensors.Tensor { return token(d.Key) }
	}
	args := []any{token(d.Key), token(d.Key), token(d.Value), perHead(), state(), gates(), token(d.Value), state()}
	run := func(kernels bool) [][]float32 {
		e := MustNewExec(dev.Backend, func(in []*Node) []*Node {
			unit := func(x *Node) *Node { return Div(x, Sqrt(ReduceAndKeep(Square(x), ReduceSum, -1))) }
			leaves := []*Node{unit(in[0]), unit(in[1]), in[2], Sigmoid(in[3]), in[4], nil}
			for i, x := range leaves[:3] {
				leaves[i] = ConvertDType(ConvertDType(x, dtypes.BFloat16), dtypes.Float32)
			}
			if forget > 0 {
				leaves[5] = MulScalar(Softplus(in[5]), -forget)
			} else {
				leaves = leaves[:5]
			}
			op := Rule(leaves[0], leaves[1], leaves[2], append(leaves, nil)[5], leaves[3])
			if form == "general" { // erases what a query's direction reads
				op.K, op.Read, op.Erase = leaves[1], leaves[0], Mul(leaves[0], InsertAxes(leaves[3], -1))
			}
			op.Initial, op.Half, op.NoKernels = leaves[4], true, !kernels
			if kernels != fusable(op) {
				t.Fatalf("%+v: fusable is %v", d, !kernels)
			}
			res := Chunk(op, 64)
			loss := Add(ReduceAllSum(Mul(res.Y, in[6])), ReduceAllSum(Mul(res.State, in[7])))
			_, squares := res.Moments()
			return append([]*Node{res.Y, res.State, ConvertDType(squares, dtypes.Float32)}, Gradient(loss, leaves...)...)
		})
		defer e.Finalize()
		var all [][]float32
		for _, o := range e.MustCall(args...) {
			all = append(all, tensors.MustCopyFlatData[float32](o))
		}
		return all
	}
	want, got := run(false), run(true)
	for i, name := range []string{"y", "state", "squares", "grad q", "grad k", "grad v", "grad beta", "grad initial", "grad log decay"}[:len(want)] {
		diff, norm := 0.0, 0.0
		for j := range want[i] {
			diff += math.Pow(float64(got[i][j]-want[i][j]), 2)
			norm += math.Pow(float64(want[i][j]), 2)
		}
		ratio, where := math.Sqrt(diff/max(norm, 1e-30)), fmt.Sprintf("%+v, %s, forget %g", d, form, forget)
		t.Logf("%s: %s differs by %.2e", where, name, ratio)
		if !(ratio < 0.02) {
			t.Errorf("%s: %s differs by %.2e", where, name, ratio)
		}
	}
}
