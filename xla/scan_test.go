package xla

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"
)

// devices returns the Go backend and, where its plug-in is installed, XLA on the CPU.
func devices(t testing.TB) []*Device {
	t.Helper()
	once.Do(func() { opened = openDevices(t) })
	return opened
}

var (
	once   sync.Once
	opened []*Device
)

func openDevices(t testing.TB) []*Device {
	d, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	list := []*Device{d}
	if cpu, err := Open("cpu"); err == nil {
		list = append(list, cpu)
	} else {
		t.Logf("without XLA: %v", err)
	}
	return list
}

func random(seed uint64, dims ...int) *tensors.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 1
	for _, d := range dims {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return tensors.FromFlatDataAndDimensions(v, dims...)
}

// twoLoops is a loop in a loop with a saved value, stacked outputs and constants; it returns a scalar of everything.
func twoLoops(s Scan) func(x, w, k *Node) *Node {
	return func(x, w, k *Node) *Node {
		last, ys := s.Run(Nodes{x}, Nodes{w}, Nodes{k}, func(it *Iter, c, xs, consts Nodes) (next, ys Nodes) {
			h := it.Save(Tanh(Add(Dot(c[0], xs[0]).Product(), ExpandLeftToRank(consts[0], 2))))
			inner := Scan{N: 2, Unroll: s.Unroll, Infer: s.Infer}
			l, _ := inner.Run(Nodes{h}, nil, Nodes{consts[0]}, func(it *Iter, c, _, consts Nodes) (Nodes, Nodes) {
				return Nodes{Add(Sin(c[0]), ExpandLeftToRank(Mul(consts[0], ConvertDType(it.I, c[0].DType())), 2))}, nil
			})
			return Nodes{Add(c[0], MulScalar(l[0], 0.3))}, Nodes{ReduceSum(Square(h), -1)}
		})
		return Add(ReduceAllSum(Mul(last[0], last[0])), ReduceAllSum(Sin(ys[0])))
	}
}

func TestScanEqualsUnrolled(t *testing.T) {
	for _, d := range devices(t) {
		args := []any{random(1, 3, 4), random(2, 6, 4, 4), random(3, 4)}
		run := func(s Scan) []float64 {
			e, err := NewExec(d.Backend, func(x, w, k *Node) []*Node {
				y := twoLoops(s)(x, w, k)
				return append(Gradient(y, x, w, k), y)
			})
			if err != nil {
				t.Fatal(err)
			}
			var all []float64
			for _, out := range e.MustCall(args...) {
				all = append(all, tensors.MustCopyFlatData[float64](out)...)
			}
			return all
		}
		want := run(Scan{N: 6, Unroll: true})
		for _, per := range []int{1, 2, 3} {
			got := run(Scan{N: 6, Per: per})
			for i := range want {
				if math.Abs(got[i]-want[i]) > 1e-12*(1+math.Abs(want[i])) {
					t.Fatalf("%s per %d: entry %d is %g, unrolled %g", d.Kind, per, i, got[i], want[i])
				}
			}
		}
	}
}

func TestScanGradientAgainstDifferences(t *testing.T) {
	for _, d := range devices(t) {
		f := graph.MustNewExec(d.Backend, twoLoops(Scan{N: 6}))
		grad := graph.MustNewExec(d.Backend, func(x, w, k *Node) []*Node { return Gradient(twoLoops(Scan{N: 6})(x, w, k), x, w, k) })
		args := []*tensors.Tensor{random(1, 3, 4), random(2, 6, 4, 4), random(3, 4)}
		g := grad.MustCall(args[0], args[1], args[2])
		for q, a := range args {
			dir := tensors.MustCopyFlatData[float64](random(uint64(9+q), a.Shape().Dimensions...))
			want := 0.0
			for i, v := range tensors.MustCopyFlatData[float64](g[q]) {
				want += v * dir[i]
			}
			at := func(eps float64) float64 {
				moved := []any{args[0], args[1], args[2]}
				v := tensors.MustCopyFlatData[float64](a)
				for i := range v {
					v[i] += eps * dir[i]
				}
				moved[q] = tensors.FromFlatDataAndDimensions(v, a.Shape().Dimensions...)
				return tensors.ToScalar[float64](f.MustCall(moved...)[0])
			}
			if got := (at(1e-5) - at(-1e-5)) / 2e-5; math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%s argument %d: derivative %g, differences %g", d.Kind, q, want, got)
			}
		}
	}
}

func TestScanInferRunsAsALoopEverywhere(t *testing.T) {
	for _, d := range devices(t) {
		e := graph.MustNewExec(d.Backend, func(x *Node) []*Node {
			_, ys := Scan{N: 5, Infer: true}.Run(Nodes{x}, nil, nil, func(it *Iter, c, _, _ Nodes) (Nodes, Nodes) {
				next := AddScalar(c[0], 1)
				return Nodes{next}, Nodes{Mul(next, ConvertDType(it.I, dtypes.Float64))}
			})
			return ys
		})
		got := tensors.MustCopyFlatData[float64](e.MustCall(2.0)[0])
		for i, want := range []float64{0, 4, 10, 18, 28} {
			if got[i] != want {
				t.Errorf("%s: ys %v", d.Kind, got)
				break
			}
		}
	}
}

func TestRunningSumPairKeepsSmallDifferences(t *testing.T) {
	for _, d := range devices(t) {
		e := graph.MustNewExec(d.Backend, func(x *Node) []*Node {
			hi, lo := RunningSumPair(x)
			return []*Node{hi, lo}
		})
		x := make([]float32, 64)
		exact, sum := make([]float64, 64), 0.0
		for i := range x {
			x[i] = -200
			if i%2 == 1 {
				x[i] = -1.2345e-3
			}
			sum += float64(x[i])
			exact[i] = sum
		}
		out := e.MustCall(tensors.FromFlatDataAndDimensions(x, 1, 64))
		hi, lo := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
		for i := 1; i < 64; i += 2 {
			diff := float64((hi[i] - hi[i-1]) + (lo[i] - lo[i-1]))
			if want := exact[i] - exact[i-1]; math.Abs(diff-want) > 1e-9 {
				t.Fatalf("%s: step %d: difference %g, want %g", d.Kind, i, diff, want)
			}
		}
	}
}

func TestMissingGradients(t *testing.T) {
	for _, d := range devices(t) {
		e := graph.MustNewExec(d.Backend, func(x *Node) []*Node {
			twice := CustomVJP(func(in Nodes) Nodes { return Nodes{MulScalar(in[0], 2), in[0]} },
				func(v Nodes) Nodes { return Nodes{MulScalar(v[0], 7)} }, x)
			return Gradient(ReduceAllSum(Add(Add(Rsqrt(x), Expm1(x)), twice[0])), x)
		})
		got := tensors.MustCopyFlatData[float64](e.MustCall([]float64{0.5, 2})[0])
		for i, x := range []float64{0.5, 2} {
			if want := -0.5*math.Pow(x, -1.5) + math.Exp(x) + 7; math.Abs(got[i]-want) > 1e-9 {
				t.Errorf("%s: gradient at %g is %g, want %g", d.Kind, x, got[i], want)
			}
		}
	}
}
