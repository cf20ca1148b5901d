package recurrence

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

func TestKernelsAreBoundToSizes(t *testing.T) {
	d := Dims{Batch: 2, Tokens: 100, Heads: 4, HeadDim: 64, Groups: 2, State: 128}
	for name, flags := range map[string]map[string]bool{"forward": {"ENDS": true, "KEEP": true}, "states": nil, "adjoint": {"ENDS": true}, "backward": {"STATES": true}} {
		k := kernel(name, d, 2, 2, flags)
		head, _, _ := strings.Cut(k.Source, "{noinline")
		if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") {
			t.Errorf("%s still has integer arguments: %s", name, head)
		}
		for _, want := range []string{"@ssd_" + name + "(", "%T = arith.constant 100 : i32", "%W = arith.constant 768 : i32", "%PER = arith.constant 2 : i32"} {
			if !strings.Contains(k.Source, want) {
				t.Errorf("%s: %q is missing", name, want)
			}
		}
	}
}

func TestSplitKeepsWholeChunks(t *testing.T) {
	for _, c := range []struct{ batch, tokens, heads, want int }{
		{1, 65536, 24, 64}, {1, 2048, 24, 8}, {16, 2048, 24, 4}, {64, 2048, 24, 1}, {1, 2047, 24, 1}, {1, 64, 24, 1}, {1, 512, 32, 2},
	} {
		d := Dims{Batch: c.batch, Tokens: c.tokens, Heads: c.heads, HeadDim: 64, Groups: 1, State: 128}
		if got := split(d); got != c.want || d.Tokens%got != 0 {
			t.Errorf("%+v: %d segments, want %d", c, got, c.want)
		}
	}
}

// TestFusedEqualsGraph runs where there is an NVIDIA GPU: kernels in bfloat16 against the graph in float32 on the same
// rounded inputs, values and gradients, trained and inferred (cut into segments).
func TestFusedEqualsGraph(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	for _, d := range []Dims{{2, 150, 4, 64, 1, 128}, {1, 1, 2, 64, 1, 16}, {2, 1024, 4, 64, 2, 64}, {1, 2048, 8, 64, 1, 128}, {1, 256, 4, 64, 1, 256}, {2, 64, 4, 64, 1, 32}} {
		inner, bc := d.Heads*d.HeadDim, d.Groups*d.State
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
		args := []any{normal(d.Batch, d.Tokens, inner+2*bc), normal(d.Batch, d.Tokens, d.Heads), normal(d.Batch, d.Heads, d.HeadDim, d.State),
			normal(d.Batch, d.Tokens, d.Heads, d.HeadDim), normal(d.Batch, d.Heads, d.HeadDim, d.State), normal(d.Batch, d.Heads)}
		run := func(fusedForm, train, fresh bool) [][]float32 {
			e := MustNewExec(dev.Backend, func(raw, dt, initial, dy, dlast, skip *Node) []*Node {
				xbc := ConvertDType(raw, dtypes.BFloat16)
				delta := MulScalar(Sigmoid(dt), 0.3)
				la := MulScalar(delta, -0.7)
				wide := xbc
				if !fusedForm {
					wide = ConvertDType(xbc, dtypes.Float32)
				}
				part := func(from, to, n, m int) *Node {
					return Reshape(SliceAxis(wide, -1, AxisRange(from, to)), d.Batch, d.Tokens, n, m)
				}
				op := Operands{X: part(0, inner, d.Heads, d.HeadDim), B: part(inner, inner+bc, d.Groups, d.State),
					C: part(inner+bc, inner+2*bc, d.Groups, d.State), Delta: delta, LogAlpha: la, Initial: initial, D: skip}
				if fusedForm {
					op.XBC = xbc
				}
				if train {
					op.Keep = func(n *Node) *Node { return n }
				}
				if op.ZeroState = fresh; fresh {
					op.Initial = nil
				}
				res := Chunk(op, 64)
				outs := []*Node{res.Y}
				if fresh {
					for _, g := range Gradient(ReduceAllSum(Mul(res.Y, dy)), wide, delta, la, skip) {
						outs = append(outs, ConvertDType(g, dtypes.Float32))
					}
					return outs
				}
				outs = append(outs, res.State)
				if train {
					total := Add(ReduceAllSum(Mul(res.Y, dy)), ReduceAllSum(Mul(res.State, dlast)))
					for _, g := range Gradient(total, wide, delta, la, initial, skip) {
						outs = append(outs, ConvertDType(g, dtypes.Float32))
					}
				}
				return outs
			})
			var all [][]float32
			for _, o := range e.MustCall(args...) {
				all = append(all, tensors.MustCopyFlatData[float32](o))
			}
			return all
		}
		check := func(train, fresh bool, names ...string) {
			want, got := run(false, train, fresh), run(true, train, fresh)
			for i, name := range names[:len(want)] {
				diff, norm := 0.0, 0.0
				for j := range want[i] {
					diff += math.Pow(float64(got[i][j]-want[i][j]), 2)
					norm += math.Pow(float64(want[i][j]), 2)
				}
				ratio := math.Sqrt(diff / norm)
				t.Logf("%+v train %v fresh %v: %s differs by %.2e", d, train, fresh, name, ratio)
				if !(ratio < 0.006) {
					t.Errorf("%+v train %v fresh %v: %s differs by %.2e", d, train, fresh, name, ratio)
				}
			}
		}
		names := []string{"y", "state", "grad xbc", "grad delta", "grad log alpha", "grad initial", "grad D"}
		check(true, false, names...)
		check(false, false, names...)
		if d.Tokens > 1 { // of one token from zeros log alpha has no gradient
			check(true, true, "y", "grad xbc", "grad delta", "grad log alpha", "grad D")
		}
	}
}
