package recurrence_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
)

// between are the operands of tokens from … to, without an initial state.
func between(in []*Node, from, to int) recurrence.Operands {
	op := operands(in)
	for _, x := range []**Node{&op.X, &op.Delta, &op.LogAlpha, &op.B, &op.C} {
		*x = SliceAxis(*x, 1, AxisRange(from, to))
	}
	op.Initial = nil
	return op
}

func zerosLike(x *Node, dims ...int) *Node { return Zeros(x.Graph(), shapes.Make(x.DType(), dims...)) }

func emptyPast(op recurrence.Operands, r int) recurrence.Past {
	x, b := op.X.Shape().Dimensions, op.B.Shape().Dimensions
	return recurrence.Past{Write: zerosLike(op.Delta, x[0], r, x[2], x[3]), LogAlpha: zerosLike(op.Delta, x[0], r, x[2]),
		B: zerosLike(op.Delta, b[0], r, b[2], b[3])}
}

// windowed prefills the first tokens, split at a place, and decodes the others; it returns y, the last state and, of the
// prefilled tokens, sums and squares.
func windowed(in []*Node, r, split, prefilled int) []*Node {
	d := in[0].Shape().Dimensions
	past := emptyPast(operands(in), r)
	var ys, sums, squares []*Node
	var state *Node
	for _, piece := range [][2]int{{0, split}, {split, prefilled}} {
		if piece[0] == piece[1] {
			continue
		}
		w := recurrence.Window(between(in, piece[0], piece[1]), past)
		end := Const(in[0].Graph(), []int32{int32(piece[1] - piece[0] - 1)})
		past, state = w.PastAfter(end), Squeeze(w.StatesAt(end), 0)
		sum, square := w.Moments()
		ys, sums, squares = append(ys, w.Y), append(sums, sum), append(squares, square)
	}
	none := zerosLike(in[1], d[0], d[2], d[3], in[3].Shape().Dim(3))
	s := recurrence.Delayed{Since: none, Block: none, Gone: none, Phase: zerosLike(in[1], d[0], 1)}
	if state != nil {
		s.Since = state
	}
	for t := prefilled; t < d[1]; t++ {
		op := between(in, t, t+1)
		one := func(x *Node) *Node { return Squeeze(x, 1) }
		var y *Node
		y, state, past, s = recurrence.WindowStep(Mul(one(op.X), InsertAxes(one(op.Delta), -1)), one(op.LogAlpha), one(op.B), one(op.C), past, s)
		ys = append(ys, InsertAxes(y, 1))
	}
	y := recurrence.Skip(Concatenate(ys, 1), in[0], Reshape(in[5], 1, 1, d[2], 1))
	outs := []*Node{y, state}
	if len(sums) > 0 {
		outs = append(outs, Concatenate(sums, 1), Concatenate(squares, 1))
	}
	return outs
}

func TestWindowEqualsDirectSum(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 40, Heads: 4, HeadDim: 3, Groups: 2, State: 5}
	for i, gates := range [][2]float64{{-0.4, 0}, {-1e-9, 0}} { // strong gates, and retention within rounding of 1
		s := random(uint64(11+i), d, gates[0], gates[1], false)
		for _, r := range []int{1, 7, 16, 64} {
			y, state := recurrence.NaiveWindow(s, r)
			for _, piece := range [][2]int{{40, 40}, {13, 33}, {0, 0}} {
				got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node { return windowed(in, r, piece[0], piece[1]) }, inputs[float64](s)...)
				name := fmt.Sprintf("gates %v, window %d, pieces %v", gates, r, piece)
				optest.Near(t, name+" y", got[0], y, 1e-9)
				optest.Near(t, name+" state", got[1], state, 1e-9)
				if piece[1] == 40 {
					sum, squares := windowMoments(s, r)
					optest.Near(t, name+" sum", got[2], sum, 1e-9)
					optest.Near(t, name+" squares", got[3], squares, 1e-9)
				}
			}
		}
	}
}

// windowMoments sums the entries of the state that NaiveWindow ends with after every token.
func windowMoments(s recurrence.Sequence, r int) (sum, squares []float64) {
	rows := s.Batch * s.Tokens
	sum, squares = make([]float64, rows*s.Heads), make([]float64, rows*s.Heads)
	for t := range s.Tokens {
		short := s
		short.Tokens = t + 1
		for _, f := range []struct {
			to    *[]float64
			all   []float64
			width int
		}{{&short.X, s.X, s.Heads * s.HeadDim}, {&short.Delta, s.Delta, s.Heads}, {&short.B, s.B, s.Groups * s.State}, {&short.C, s.C, s.Groups * s.State}} {
			*f.to = nil
			for b := range s.Batch {
				*f.to = append(*f.to, f.all[b*s.Tokens*f.width:][:(t+1)*f.width]...)
			}
		}
		_, state := recurrence.NaiveWindow(short, r)
		for i, v := range state {
			at := i / (s.HeadDim * s.State)
			b, j := at/s.Heads, at%s.Heads
			sum[(b*s.Tokens+t)*s.Heads+j] += v
			squares[(b*s.Tokens+t)*s.Heads+j] += v * v
		}
	}
	return sum, squares
}

// In float32 the error of the difference must not grow with the length although nothing is forgotten: large old writes
// leave no trace.
func TestWindowStepIsSafeNearRetentionOne(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 600, Heads: 2, HeadDim: 2, Groups: 1, State: 3}
	s := random(5, d, -1e-7, 0, false)
	for i := range s.Delta {
		s.Delta[i], s.A[i%2] = 1, -1e-8 // Δ x B of size 1, α of 1 − 1e-8
	}
	for i := range 100 * d.Heads * d.HeadDim {
		s.X[i] *= 1e4
	}
	const r = 8
	y, _ := recurrence.NaiveWindow(s, r)
	got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node { return windowed(in, r, 0, 0) }, inputs[float32](s)...)
	from := 200 * d.Heads * d.HeadDim // long after the large ones
	optest.Near(t, "y", got[0][from:], y[from:], 1e-5)
}

func TestNormLimitEqualsNaive(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 21, Heads: 4, HeadDim: 3, Groups: 2, State: 5}
	s := random(3, d, -0.05, 0, true)
	limit := []float64{0.5, 2, 1e-3, math.Inf(1)}
	for _, every := range []int{1, 4, 8, 64} {
		y, state := recurrence.NaiveLimited(s, limit, every)
		graph := func(in []*Node) []*Node {
			op := operands(in)
			norm := Mul(Ones(op.Delta.Graph(), op.Delta.Shape()), Reshape(in[7], 1, 1, d.Heads))
			l := recurrence.NormLimit{Norm: norm, Every: every, Infer: true}
			y, h := l.Run(op)
			outs := []*Node{recurrence.Skip(y, in[0], Reshape(in[5], 1, 1, d.Heads, 1)), h}
			if every == 1 {
				_, squares := l.Moments(op)
				outs = append(outs, squares, l.StatesAt(op, Const(op.X.Graph(), []int32{3, int32(d.Tokens - 1)})))
			}
			return outs
		}
		args := append(inputs[float64](s), tensors.FromFlatDataAndDimensions(limit, d.Heads))
		for _, dev := range optest.Devices(t) {
			got := optest.Run(t, dev, graph, args...)
			name := fmt.Sprintf("%s, every %d", dev.Kind, every)
			optest.Near(t, name+" y", got[0], y, 1e-9)
			optest.Near(t, name+" state", got[1], state, 1e-9)
			if every == 1 {
				optest.Near(t, name+" states", got[3][len(got[3])/2:], state, 1e-9)
				for i, v := range got[2] {
					if lim := limit[i%d.Heads]; v > lim*lim*(1+1e-9) {
						t.Errorf("%s: squared norm %g of head %d exceeds %g", name, v, i%d.Heads, lim*lim)
					}
				}
			}
			args = append(inputs[float64](s), tensors.FromFlatDataAndDimensions(limit, d.Heads))
		}
	}
}

// Gradients through the limit are those of differences of the plain recurrence, heads of zeros at first among them.
func TestNormLimitGradient(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 10, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	s := random(7, d, -0.05, 0, true)
	clear(s.Initial)
	limit := []float64{0.02, 1e3}
	for _, every := range []int{1, 4} {
		loss := func(s recurrence.Sequence) (sum float64) {
			y, state := recurrence.NaiveLimited(s, limit, every)
			for _, v := range append(y, state...) {
				sum += v * v
			}
			return sum
		}
		s.D = make([]float64, d.Heads)
		graph := func(in []*Node) []*Node {
			op := operands(in)
			norm := Mul(Ones(op.Delta.Graph(), op.Delta.Shape()), Reshape(in[7], 1, 1, d.Heads))
			y, h := recurrence.NormLimit{Norm: norm, Every: every}.Run(op)
			return Gradient(Add(ReduceAllSum(Square(y)), ReduceAllSum(Square(h))), in[0], in[1], in[3], in[4], in[6])
		}
		for _, dev := range optest.Devices(t) {
			got := optest.Run(t, dev, graph, append(inputs[float64](s), tensors.FromFlatDataAndDimensions(limit, d.Heads))...)
			for k, values := range [][]float64{s.X, s.Delta, s.B, s.C, s.Initial} {
				var want []float64
				for i, v := range values {
					const e = 1e-5
					values[i] = v + e
					up := loss(s)
					values[i] = v - e
					want = append(want, (up-loss(s))/(2*e))
					values[i] = v
				}
				optest.Near(t, fmt.Sprintf("%s, every %d: gradient %d", dev.Kind, every, k), got[k], want, 1e-6)
			}
		}
	}
}
