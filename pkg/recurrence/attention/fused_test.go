package attention

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

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/xla"
)

func TestKernelsAreBoundToSizes(t *testing.T) {
	for _, size := range []int{16, 32, 64, 128} {
		d := Dims{Batch: 2, Tokens: 300, Heads: 6, KVHeads: 2, Key: size, Value: size}
		for _, name := range []string{"forward", "queries", "keys"} {
			k := kernel(name, d)
			head, _, _ := strings.Cut(k.Source, "{noinline")
			if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") {
				t.Errorf("%s still has integer arguments: %s", name, head)
			}
			own := fmt.Sprintf("tensor<%dx%dxf32>", ownTokens, size)
			for _, want := range []string{"@attention_" + name + "(", "%T = arith.constant 300 : i32", "%H = arith.constant 6 : i32", "%PER = arith.constant 3 : i32", own} {
				if !strings.Contains(k.Source, want) {
					t.Errorf("%s of %d: %q is missing", name, size, want)
				}
			}
			if k.Grid != [3]int{3, 6, 2} {
				t.Errorf("%s: grid %v", name, k.Grid)
			}
		}
	}
}

// rounded are operands q, k, v and a gradient of y, numbers of bfloat16 as float32; scores have the standard deviation scale.
func rounded(d Dims, scale float64) (args []any) {
	r := rand.New(rand.NewPCG(8, uint64(d.Tokens)))
	for i, dims := range [][]int{{d.Heads, d.Key}, {d.KVHeads, d.Key}, {d.KVHeads, d.Value}, {d.Heads, d.Value}} {
		v := make([]float32, d.Batch*d.Tokens*dims[0]*dims[1])
		for j := range v {
			x := r.NormFloat64()
			if i == 0 {
				x *= scale / math.Sqrt(float64(d.Key))
			}
			v[j] = math.Float32frombits(math.Float32bits(float32(x)) &^ 0xffff)
		}
		args = append(args, tensors.FromFlatDataAndDimensions(v, d.Batch, d.Tokens, dims[0], dims[1]))
	}
	return args
}

// bothWays is y and its gradients in q, k and v, in float32, of operands in dtype.
func bothWays(dtype dtypes.DType) func(in []*Node) []*Node {
	return func(in []*Node) []*Node {
		op := Operands{Q: ConvertDType(in[0], dtype), K: ConvertDType(in[1], dtype), V: ConvertDType(in[2], dtype)}
		y := ConvertDType(Chunk(op, 64).Y, dtypes.Float32)
		return append([]*Node{y}, Gradient(ReduceAllSum(Mul(y, in[3])), in[:3]...)...)
	}
}

// Without a kernel, operands in bfloat16 are computed in float32, and so are calls with a cache.
func TestGraphOfBFloat16IsThatOfFloat32(t *testing.T) {
	d := Dims{Batch: 2, Tokens: 9, Heads: 4, KVHeads: 2, Key: 16, Value: 16}
	for _, dev := range optest.Devices(t) {
		args := rounded(d, 1)
		want, got := optest.Run(t, dev, bothWays(dtypes.Float32), args...), optest.Run(t, dev, bothWays(dtypes.BFloat16), args...)
		for i, name := range []string{"y", "dq", "dk", "dv"} {
			optest.Near(t, dev.Kind+": "+name, got[i], want[i], 0.004) // rounding of y and of gradients
		}
		outs := optest.Run(t, dev, func(in []*Node) []*Node {
			room := Zeros(in[0].Graph(), shapes.Make(dtypes.Float32, d.Batch, d.Tokens, d.KVHeads, d.Key))
			op := Operands{Q: in[0], K: in[1], V: in[2], Cache: &Cache{room, room, Zeros(in[0].Graph(), shapes.Make(dtypes.Int32, d.Batch))}}
			full := Chunk(op, 64)
			for _, x := range []**Node{&op.Q, &op.K, &op.V} {
				*x = ConvertDType(*x, dtypes.BFloat16)
			}
			half := Chunk(op, 64)
			return []*Node{ConvertDType(half.Y, dtypes.Float32), ConvertDType(ConvertDType(full.Y, dtypes.BFloat16), dtypes.Float32), half.Cache.Keys, full.Cache.Keys, half.Cache.Values, full.Cache.Values}
		}, args[:3]...)
		for i := 0; i < len(outs); i += 2 {
			optest.Near(t, fmt.Sprint(dev.Kind, " with a cache, output ", i/2), outs[i], outs[i+1], 0)
		}
	}
}

// The graph with kernels and their gradients is built, though not run, by any XLA.
func TestKernelGradientsHaveTheShapesOfOperands(t *testing.T) {
	dev, err := xla.Open("cpu")
	if err != nil {
		t.Skipf("needs XLA: %v", err)
	}
	d := Dims{Batch: 2, Tokens: 300, Heads: 6, KVHeads: 2, Key: 32, Value: 32}
	g := NewGraph(dev.Backend, t.Name())
	node := func(heads int) *Node {
		return Zeros(g, shapes.Make(dtypes.BFloat16, d.Batch, d.Tokens, heads, d.Key))
	}
	op, kept := Operands{Q: node(d.Heads), K: node(d.KVHeads), V: node(d.KVHeads)}, 0
	op.Keep = func(n *Node) *Node { kept++; return n }
	y := fused(op, d)
	if !y.Shape().Equal(op.Q.Shape()) || kept != 2 {
		t.Errorf("y is %s, %d values kept", y.Shape(), kept)
	}
	for i, grad := range Gradient(ReduceAllSum(y), op.Q, op.K, op.V) {
		if want := []*Node{op.Q, op.K, op.V}[i].Shape(); !grad.Shape().Equal(want) {
			t.Errorf("gradient %d is %s, want %s", i, grad.Shape(), want)
		}
	}
}

func TestOperandsOfTwoPrecisionsAreRefused(t *testing.T) {
	g := NewGraph(optest.Devices(t)[0].Backend, t.Name())
	x := Zeros(g, shapes.Make(dtypes.Float32, 1, 2, 1, 16))
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "all three or none must be bfloat16") {
			t.Error(got)
		}
	}()
	Chunk(Operands{Q: ConvertDType(x, dtypes.BFloat16), K: x, V: x}, 64)
}

// TestFusedEqualsGraph runs where there is an NVIDIA GPU: kernels in bfloat16 against the graph in float32 on the same rounded
// operands, values and gradients; and says which calls are not for kernels.
func TestFusedEqualsGraph(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	for _, c := range []struct {
		d     Dims
		scale float64
	}{
		{Dims{2, 300, 4, 4, 64, 64}, 1}, {Dims{1, 1, 2, 2, 16, 16}, 1}, {Dims{2, 127, 4, 2, 32, 32}, 1}, {Dims{1, 2048, 3, 1, 64, 64}, 1},
		{Dims{2, 257, 2, 2, 128, 128}, 1}, {Dims{3, 128, 2, 2, 16, 16}, 3}, {Dims{1, 200, 2, 2, 64, 64}, 100},
	} {
		args := rounded(c.d, c.scale)
		want, got := optest.Run(t, dev, bothWays(dtypes.Float32), args...), optest.Run(t, dev, bothWays(dtypes.BFloat16), args...)
		for i, name := range []string{"y", "dq", "dk", "dv"} {
			diff, norm := 0.0, 0.0
			for j, w := range want[i] {
				diff, norm = diff+math.Pow(got[i][j]-w, 2), norm+w*w
			}
			ratio := math.Sqrt(diff / max(norm, 1)) // of one token queries and keys have no gradient
			t.Logf("%+v: %s differs by %.2e", c, name, ratio)
			if !(ratio < 0.01) {
				t.Errorf("%+v: %s differs by %.2e", c, name, ratio)
			}
		}
	}
	g := NewGraph(dev.Backend, t.Name())
	x, odd := Zeros(g, shapes.Make(dtypes.BFloat16, 1, 8, 2, 16)), Zeros(g, shapes.Make(dtypes.BFloat16, 1, 8, 2, 48))
	if !(Operands{Q: x, K: x, V: x}).Fuses() {
		t.Error("the plain call has no kernel")
	}
	for name, op := range map[string]Operands{"NoKernels": {Q: x, K: x, V: x, NoKernels: true}, "a window": {Q: x, K: x, V: x, Window: 4},
		"two sizes": {Q: x, K: x, V: odd}, "an odd size": {Q: odd, K: odd, V: odd}, "segments": {Q: x, K: x, V: x, Segments: Zeros(g, shapes.Make(dtypes.Int32, 1, 8))}} {
		if op.Fuses() {
			t.Errorf("%s: there is no kernel for it", name)
		}
	}
}
