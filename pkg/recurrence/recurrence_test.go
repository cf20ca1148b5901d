package recurrence_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/xla"
)

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

// form is one way to compute the operator as a graph.
type form struct {
	name   string
	chunks []int   // chunk lengths to try
	exact  float64 // error against Naive in float64, relative to the largest entry
	single float64 // the same in float32
	half   float64 // RMS error with bfloat16 operands, relative to the RMS; 0: operands are not rounded
	run    func(op recurrence.Operands, q int, infer bool) (y, state *Node)
}

// forms are compared with Naive, one by one, by every test of this package: a new form is a new line.
var forms = []form{
	{"chunk", []int{16, 64, 128}, 1e-12, 1e-5, 0.01, func(op recurrence.Operands, q int, _ bool) (y, state *Node) {
		r := recurrence.Chunk(op, q)
		return r.Y, r.State
	}},
	{"step", []int{1}, 1e-12, 1e-5, 0, stepwise},
}

// stepwise runs Step over the tokens; where a segment begins, log α is that of a state cut off.
func stepwise(op recurrence.Operands, _ int, infer bool) (y, state *Node) {
	d := op.X.Shape().Dimensions
	state, la := op.Initial, op.LogAlpha
	if state == nil {
		state = Zeros(la.Graph(), shapes.Make(la.DType(), d[0], d[2], d[3], op.B.Shape().Dim(3)))
	}
	if op.Segments != nil {
		before := ShiftWithScalar(op.Segments, 1, ShiftDirRight, 1, 0)
		starts := BroadcastToDims(InsertAxes(NotEqual(op.Segments, before), -1), la.Shape().Dimensions...)
		la = Where(starts, BroadcastToShape(Scalar(la.Graph(), la.DType(), -1e30), la.Shape()), la)
	}
	tokensFirst := func(x *Node) *Node {
		perm := []int{1, 0, 2, 3}
		return TransposeAllAxes(x, perm[:x.Rank()]...)
	}
	xs := []*Node{tokensFirst(op.X), tokensFirst(op.Delta), tokensFirst(la), tokensFirst(op.B), tokensFirst(op.C)}
	last, ys := xla.Scan{N: d[1], Infer: infer}.Run([]*Node{state}, xs, nil, func(_ *xla.Iter, c, x, _ []*Node) (next, ys []*Node) {
		y, h := recurrence.Step(x[0], x[1], x[2], x[3], x[4], c[0])
		return []*Node{h}, []*Node{y}
	})
	return tokensFirst(ys[0]), last[0]
}

// compute is a form on the inputs, with D x; the eighth input, if any, are the segments.
func (f form) compute(in []*Node, q int, initial, infer bool) (y, state *Node) {
	op := operands(in)
	if !initial {
		op.Initial = nil
	}
	if len(in) > 7 {
		op.Segments = in[7]
	}
	y, state = f.run(op, q, infer)
	return recurrence.Skip(y, in[0], Reshape(in[5], 1, 1, in[5].Shape().Dim(0), 1)), state
}

func TestMomentsEqualNaive(t *testing.T) {
	for _, dev := range optest.Devices(t) {
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
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			m, q := recurrence.Chunk(operands(in), 32).Moments()
			return []*Node{m, q}
		}, inputs[float64](s)...)
		optest.Near(t, dev.Kind+" sum", got[0], sum, 1e-11)
		for i := range squares {
			if math.Abs(got[1][i]-squares[i]) > 1e-9*squares[i] {
				t.Fatalf("%s: squares %d: %g, want %g", dev.Kind, i, got[1][i], squares[i])
			}
		}
	}
}
