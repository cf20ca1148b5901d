package recurrence_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

var (
	once   sync.Once
	opened []*xla.Device
)

func devices(t testing.TB) []*xla.Device {
	once.Do(func() {
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

// random makes a sequence with gates between gateLo and gateHi (Δ·A).
func random(seed uint64, d recurrence.Dims, gateLo, gateHi float64, initial bool) recurrence.Sequence {
	r := rand.New(rand.NewPCG(seed, 7))
	normal := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}
	rows := d.Batch * d.Tokens
	s := recurrence.Sequence{Dims: d, X: normal(rows * d.Heads * d.HeadDim), A: make([]float64, d.Heads),
		B: normal(rows * d.Groups * d.State), C: normal(rows * d.Groups * d.State), D: normal(d.Heads)}
	for i := range s.A {
		s.A[i] = -1
	}
	s.Delta = make([]float64, rows*d.Heads)
	for i := range s.Delta {
		s.Delta[i] = -(gateLo + (gateHi-gateLo)*r.Float64())
	}
	if initial {
		s.Initial = normal(d.Batch * d.Heads * d.HeadDim * d.State)
	}
	return s
}

// inputs of the graphs below, in this order: x dt A B C D initial.
func inputs[T float32 | float64](s recurrence.Sequence) []any {
	d := s.Dims
	tensor := func(v []float64, dims ...int) *tensors.Tensor {
		out := make([]T, len(v))
		for i := range v {
			out[i] = T(v[i])
		}
		return tensors.FromFlatDataAndDimensions(out, dims...)
	}
	initial := s.Initial
	if initial == nil {
		initial = make([]float64, d.Batch*d.Heads*d.HeadDim*d.State)
	}
	return []any{tensor(s.X, d.Batch, d.Tokens, d.Heads, d.HeadDim), tensor(s.Delta, d.Batch, d.Tokens, d.Heads),
		tensor(s.A, d.Heads), tensor(s.B, d.Batch, d.Tokens, d.Groups, d.State), tensor(s.C, d.Batch, d.Tokens, d.Groups, d.State),
		tensor(s.D, d.Heads), tensor(initial, d.Batch, d.Heads, d.HeadDim, d.State)}
}

func operands(in []*Node) recurrence.Operands {
	h := in[2].Shape().Dim(0)
	return recurrence.Operands{X: in[0], Delta: in[1], LogAlpha: recurrence.LogAlpha(in[1], Reshape(in[2], 1, 1, h)),
		B: in[3], C: in[4], Initial: in[6]}
}

func chunk(in []*Node, q int) (y, state *Node) {
	r := recurrence.Chunk(operands(in), q)
	return recurrence.Skip(r.Y, in[0], Reshape(in[5], 1, 1, in[5].Shape().Dim(0), 1)), r.State
}

func run(t testing.TB, d *xla.Device, fn func(in []*Node) []*Node, args ...any) [][]float64 {
	t.Helper()
	e := MustNewExec(d.Backend, fn)
	defer e.Finalize()
	outs, err := e.Exec(args...)
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

func near(t testing.TB, name string, got, want []float64, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	scale := 1e-30
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= rel*scale) {
			t.Fatalf("%s: entry %d is %g, want %g (largest %g)", name, i, got[i], want[i], scale)
		}
	}
}

func TestNaiveChunkAndStepAgree(t *testing.T) {
	for _, dev := range devices(t) {
		for _, tokens := range []int{1, 2, 3, 63, 64, 65, 100, 127, 128, 1000} {
			for i, q := range []int{16, 64, 128} {
				groups := []int{1, 2, 4}[(i+tokens)%3]
				d := recurrence.Dims{Batch: 1 + tokens%2, Tokens: tokens, Heads: 4, HeadDim: 5, Groups: groups, State: 6}
				s := random(uint64(tokens), d, -0.4, 0, i != 1)
				y, state := recurrence.Naive(s, nil)
				name := fmt.Sprintf("%s T %d Q %d G %d", dev.Kind, tokens, q, groups)
				got := run(t, dev, func(in []*Node) []*Node { y, h := chunk(in, q); return []*Node{y, h} }, inputs[float32](s)...)
				near(t, name+" chunk y", got[0], y, 1e-5)
				near(t, name+" chunk state", got[1], state, 1e-5)
			}
		}
	}
}

func TestStepEqualsNaive(t *testing.T) {
	for _, dev := range devices(t) {
		for _, groups := range []int{1, 2, 4} {
			d := recurrence.Dims{Batch: 3, Tokens: 100, Heads: 4, HeadDim: 5, Groups: groups, State: 6}
			s := random(3, d, -0.4, 0, true)
			y, state := recurrence.Naive(s, nil)
			s.D = make([]float64, d.Heads)
			plain, _ := recurrence.Naive(s, nil)
			_ = y
			got := run(t, dev, func(in []*Node) []*Node {
				first := func(x *Node) *Node { return TransposeAllAxes(x, swapped(x.Rank())...) }
				xs := []*Node{first(in[0]), first(in[1]), first(in[3]), first(in[4])}
				last, ys := xla.Scan{N: d.Tokens, Infer: true}.Run([]*Node{in[6]}, xs, []*Node{in[2]},
					func(_ *xla.Iter, c, x, k []*Node) (next, ys []*Node) {
						la := Mul(x[1], Reshape(k[0], 1, d.Heads))
						y, h := recurrence.Step(x[0], x[1], la, x[2], x[3], c[0])
						return []*Node{h}, []*Node{y}
					})
				return []*Node{first(ys[0]), last[0]}
			}, inputs[float32](s)...)
			near(t, dev.Kind+" step y", got[0], plain, 1e-5)
			near(t, dev.Kind+" step state", got[1], state, 1e-5)
		}
	}
}

func swapped(rank int) []int {
	p := []int{1, 0}
	for i := 2; i < rank; i++ {
		p = append(p, i)
	}
	return p
}

func TestSplitsDoNotMatter(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 300, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	s := random(11, d, -0.3, 0, true)
	y, state := recurrence.Naive(s, nil)
	r := rand.New(rand.NewPCG(5, 5))
	dev := devices(t)[0]
	for trial := range 20 {
		cuts := []int{0}
		for cuts[len(cuts)-1] < d.Tokens {
			step := []int{0, 1, r.IntN(90)}[r.IntN(3)]
			cuts = append(cuts, min(d.Tokens, cuts[len(cuts)-1]+step))
		}
		got := run(t, dev, func(in []*Node) []*Node {
			h := in[6]
			var ys []*Node
			for i := 1; i < len(cuts); i++ {
				if cuts[i] == cuts[i-1] {
					continue // a piece of length 0 leaves the state alone
				}
				piece := func(x *Node) *Node { return SliceAxis(x, 1, AxisRange(cuts[i-1], cuts[i])) }
				part := []*Node{piece(in[0]), piece(in[1]), in[2], piece(in[3]), piece(in[4]), in[5], h}
				var y *Node
				y, h = chunk(part, 32)
				ys = append(ys, y)
			}
			return []*Node{Concatenate(ys, 1), h}
		}, inputs[float64](s)...)
		near(t, fmt.Sprint("y of partition ", trial, cuts), got[0], y, 1e-12)
		near(t, "state", got[1], state, 1e-12)
	}
}

func TestSegmentsRestartTheState(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 90, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	s := random(12, d, -0.3, 0, true)
	s.D = make([]float64, 2)
	bounds := []int{5, 6, 32, 33, 64, 80}
	s.Segments = make([]int, d.Tokens)
	ids := make([]int32, d.Tokens)
	ends := []int32{}
	for i := range ids {
		for _, b := range bounds {
			if i >= b {
				s.Segments[i]++
			}
		}
		ids[i] = int32(s.Segments[i])
	}
	for _, b := range append(bounds, d.Tokens) {
		ends = append(ends, int32(b-1))
	}
	var wantEnds []float64
	var bySet = map[int][]float64{}
	y, state := recurrence.Naive(s, func(_, tok, _ int, h []float64) { bySet[tok] = append(bySet[tok], h...) })
	for _, e := range ends {
		wantEnds = append(wantEnds, bySet[int(e)]...)
	}
	for _, dev := range devices(t) {
		for _, q := range []int{4, 32, 128} {
			args := append(inputs[float64](s), tensors.FromFlatDataAndDimensions(ids, 1, d.Tokens), tensors.FromFlatDataAndDimensions(ends, len(ends)))
			got := run(t, dev, func(in []*Node) []*Node {
				op := operands(in)
				op.Segments = in[7]
				r := recurrence.Chunk(op, q)
				return []*Node{r.Y, r.State, r.StatesAt(in[8])}
			}, args...)
			name := fmt.Sprintf("%s Q %d ", dev.Kind, q)
			near(t, name+"y", got[0], y, 1e-12)
			near(t, name+"state", got[1], state, 1e-12)
			near(t, name+"states at document ends", got[2], wantEnds, 1e-12)
		}
	}
}

func TestGradientsAgainstDifferences(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 37, Heads: 4, HeadDim: 3, Groups: 2, State: 2}
	s := random(4, d, -0.5, -0.01, true)
	for _, dev := range devices(t) {
		loss := func(in []*Node) *Node { // through y and through the final state, with raw dt and a bias
			in = append([]*Node{}, in...)
			in[1] = recurrence.Delta(Neg(in[1]), Reshape(in[7], 1, 1, d.Heads), 0.3, 1.2)
			y, h := chunk(in, 8)
			return Add(ReduceAllSum(Sin(y)), ReduceAllSum(Cos(h)))
		}
		args := append(inputs[float64](s), tensors.FromFlatDataAndDimensions([]float64{-0.5, 0, 0.2, 1}, d.Heads))
		grads := run(t, dev, func(in []*Node) []*Node { return Gradient(loss(in), in...) }, args...)
		e := MustNewExec(dev.Backend, func(in []*Node) []*Node { return []*Node{loss(in)} })
		r := rand.New(rand.NewPCG(1, 2))
		for q, name := range []string{"x", "dt", "A", "B", "C", "D", "initial", "dt_bias"} {
			v := floats(args[q].(*tensors.Tensor))
			dir, want := make([]float64, len(v)), 0.0
			for i := range dir {
				dir[i] = r.NormFloat64()
				want += dir[i] * grads[q][i]
			}
			at := func(eps float64) float64 {
				moved := append([]any{}, args...)
				w := append([]float64{}, v...)
				for i := range w {
					w[i] += eps * dir[i]
				}
				moved[q] = tensors.FromFlatDataAndDimensions(w, args[q].(*tensors.Tensor).Shape().Dimensions...)
				return floats(e.MustExec(moved...)[0])[0]
			}
			if got := (at(1e-6) - at(-1e-6)) / 2e-6; math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("%s: d/d%s along a direction is %g, differences give %g", dev.Kind, name, want, got)
			}
		}
	}
}

func TestGateExtremesStayFinite(t *testing.T) {
	for _, dev := range devices(t) {
		for _, gate := range []float64{0, -1e-8, -1, -30, -200} {
			d := recurrence.Dims{Batch: 1, Tokens: 150, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
			s := random(9, d, gate, gate, true)
			for i := 0; i < len(s.Delta); i += 3 {
				s.Delta[i] = 1e-4 // weak gates between the extreme ones
			}
			y, state := recurrence.Naive(s, nil)
			got := run(t, dev, func(in []*Node) []*Node {
				y, h := chunk(in, 64)
				return append([]*Node{y, h}, Gradient(Add(ReduceAllSum(y), ReduceAllSum(h)), in...)...)
			}, inputs[float32](s)...)
			near(t, fmt.Sprintf("%s gate %g y", dev.Kind, gate), got[0], y, 1e-5)
			near(t, fmt.Sprintf("%s gate %g state", dev.Kind, gate), got[1], state, 1e-5)
			for q, grad := range got[2:] {
				for _, v := range grad {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("%s gate %g: gradient %d has %g", dev.Kind, gate, q, v)
					}
				}
			}
		}
	}
}

func TestMomentsEqualNaive(t *testing.T) {
	for _, dev := range devices(t) {
		d := recurrence.Dims{Batch: 2, Tokens: 150, Heads: 4, HeadDim: 5, Groups: 2, State: 6}
		s := random(21, d, -0.3, 0, true)
		n := d.Batch * d.Tokens * d.Heads
		sum, squares := make([]float64, n), make([]float64, n)
		recurrence.Naive(s, func(b, t, j int, h []float64) {
			for _, v := range h {
				sum[(b*d.Tokens+t)*d.Heads+j] += v
				squares[(b*d.Tokens+t)*d.Heads+j] += v * v
			}
		})
		got := run(t, dev, func(in []*Node) []*Node {
			m, q := recurrence.Chunk(operands(in), 32).Moments()
			return []*Node{m, q}
		}, inputs[float64](s)...)
		near(t, dev.Kind+" sum", got[0], sum, 1e-11)
		for i := range squares {
			if math.Abs(got[1][i]-squares[i]) > 1e-9*squares[i] {
				t.Fatalf("%s: squares %d: %g, want %g", dev.Kind, i, got[1][i], squares[i])
			}
		}
	}
}

func TestLongSequenceAgainstTheDefinition(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 65536, Heads: 2, HeadDim: 4, Groups: 1, State: 8}
	s := random(31, d, -2e-3, 0, true)
	for i := range s.X {
		s.X[i] *= 0.01
	}
	y, state := recurrence.Naive(s, nil)
	for _, dev := range devices(t) {
		got := run(t, dev, func(in []*Node) []*Node { y, h := chunk(in, 64); return []*Node{y, h} }, inputs[float32](s)...)
		width := d.Heads * d.HeadDim
		for i := range 8 {
			at := (d.Tokens - 1) * i / 7 * width
			near(t, fmt.Sprint(dev.Kind, " y at ", at/width), got[0][at:at+width], y[at:at+width], 1e-4)
		}
		near(t, dev.Kind+" state", got[1], state, 1e-4)
	}
}

func TestBFloat16Products(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 100, Heads: 4, HeadDim: 8, Groups: 1, State: 16}
	s := random(41, d, -0.3, 0, true)
	s.D = make([]float64, 4)
	want, _ := recurrence.Naive(s, nil)
	for _, dev := range devices(t) {
		got := run(t, dev, func(in []*Node) []*Node {
			op := operands(in)
			for _, x := range []**Node{&op.X, &op.B, &op.C} {
				*x = ConvertDType(*x, dtypes.BFloat16)
			}
			y := recurrence.Chunk(op, 32).Y
			return append([]*Node{y}, Gradient(ReduceAllSum(Square(y)), in[0], in[1], in[3])...)
		}, inputs[float32](s)...)
		if got, ref := rms(got[0], want), rms(want, make([]float64, len(want))); got > 0.01*ref {
			t.Errorf("%s: bf16 deviates by %g of %g", dev.Kind, got, ref)
		}
	}
}

func rms(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum / float64(len(a)))
}
