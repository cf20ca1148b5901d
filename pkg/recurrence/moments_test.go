package recurrence_test

import (
	"fmt"
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
)

// naiveMoments are the sums of Result.Moments from the definition.
func naiveMoments(s recurrence.Sequence) (sum, squares []float64) {
	sum, squares = make([]float64, s.Batch*s.Tokens*s.Heads), make([]float64, s.Batch*s.Tokens*s.Heads)
	recurrence.Naive(s, func(b, t, j int, h []float64) {
		for _, v := range h {
			sum[(b*s.Tokens+t)*s.Heads+j] += v
			squares[(b*s.Tokens+t)*s.Heads+j] += v * v
		}
	})
	return sum, squares
}

func rounded(lists ...[]float64) {
	for _, v := range lists {
		for i := range v {
			v[i] = float64(float32(v[i]))
		}
	}
}

// Writes that undo each other leave a state far smaller than what went through it: from float32 operands the norm must
// still be right to float32's precision of the largest norm, which Gram matrices in float32 miss by a thousand times.
func TestMomentsWhereWritesCancel(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 96, Heads: 3, HeadDim: 6, Groups: 1, State: 8}
	s := random(5, d, -0.5, -0.5, false)
	s.A = []float64{0, -2e-7, -2e-3}
	width := d.Heads * d.HeadDim
	for at := 0; at+1 < d.Tokens; at += 2 { // every second token takes back what the one before wrote
		for i := range width {
			s.X[(at+1)*width+i] = -s.X[at*width+i]
		}
		copy(s.B[(at+1)*d.State:][:d.State], s.B[at*d.State:])
	}
	rounded(s.X, s.B, s.Delta, s.A)
	sum, squares := naiveMoments(s)
	largest := 0.0
	for _, v := range squares {
		largest = max(largest, math.Sqrt(v))
	}
	for _, dev := range optest.Devices(t) {
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			m, q := recurrence.Chunk(operands(in), 32).Moments()
			return []*Node{m, q}
		}, inputs[float32](s)...)
		for i := range squares {
			if e := math.Abs(math.Sqrt(got[1][i]) - math.Sqrt(squares[i])); !(e <= 1e-6*largest) {
				t.Fatalf("%s token %d head %d: norm %g, want %g", dev.Kind, i/3, i%3, math.Sqrt(got[1][i]), math.Sqrt(squares[i]))
			}
			if e := math.Abs(got[0][i] - sum[i]); !(e <= 1e-6*largest) {
				t.Fatalf("%s token %d head %d: sum %g, want %g", dev.Kind, i/3, i%3, got[0][i], sum[i])
			}
		}
	}
}

// Large and small states, retention from all to nothing: relative precision from float32 operands.
func TestMomentsFromFloat32(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 130, Heads: 4, HeadDim: 5, Groups: 2, State: 6}
	s := random(8, d, -1, -0.5, true)
	s.A = []float64{-1e-8, -1e-3, -0.5, -30}
	for i := range s.Initial {
		s.Initial[i] *= []float64{1e4, 1e-6, 1, 1e3}[i/(d.HeadDim*d.State)%d.Heads]
	}
	rounded(s.X, s.B, s.Delta, s.A, s.Initial)
	sum, squares := naiveMoments(s)
	for _, dev := range optest.Devices(t) {
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			m, q := recurrence.Chunk(operands(in), 64).Moments()
			return []*Node{m, q}
		}, inputs[float32](s)...)
		for i := range squares {
			n := float64(d.HeadDim * d.State)
			v, want := got[1][i]/n-math.Pow(got[0][i]/n, 2), squares[i]/n-math.Pow(sum[i]/n, 2)
			if math.Abs(v-want) > 4e-6*want {
				t.Fatalf("%s head %d: variance %d is %g, want %g", dev.Kind, i%4, i, v, want)
			}
		}
	}
}

// What follows a gate that forgets everything decays by its own gates alone.
func TestMomentsAfterStrongGates(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 70, Heads: 2, HeadDim: 4, Groups: 1, State: 6}
	s := random(6, d, -1e-3, -1e-3, true)
	s.A = []float64{-1, -3}
	for _, at := range []int{3, 40, 41} {
		for h := range d.Heads {
			s.Delta[at*d.Heads+h] = 1e12
		}
	}
	sum, squares := naiveMoments(s)
	for _, dev := range optest.Devices(t) {
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			m, q := recurrence.Chunk(operands(in), 64).Moments()
			return []*Node{m, q}
		}, inputs[float64](s)...)
		for i := range squares {
			if e := math.Abs(got[1][i] - squares[i]); !(e <= 1e-9*squares[i]) {
				t.Errorf("%s token %d head %d: squares %g, want %g", dev.Kind, i/2, i%2, got[1][i], squares[i])
			}
			if e := math.Abs(got[0][i] - sum[i]); !(e <= 1e-9*math.Sqrt(squares[i])) {
				t.Errorf("%s token %d head %d: sum %g, want %g", dev.Kind, i/2, i%2, got[0][i], sum[i])
			}
		}
	}
}

// States between chunks are those after the tokens there.
func TestEachEnd(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 75, Heads: 4, HeadDim: 3, Groups: 2, State: 5}
	s := random(4, d, -0.2, 0, true)
	dev := optest.Devices(t)[0]
	for _, c := range []struct{ every, chunk int }{{16, 16}, {32, 16}, {16, 8}, {80, 16}, {96, 32}} {
		n := (d.Tokens + c.every - 1) / c.every
		size := d.Heads * d.HeadDim * d.State
		want := make([]float64, n*d.Batch*size)
		recurrence.Naive(s, func(b, tok, j int, h []float64) {
			copy(want[((tok/c.every)*d.Batch+b)*size+j*len(h):], h) // the last token of the bucket stays
		})
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			r := recurrence.Chunk(operands(in), c.chunk)
			if r.EachEnd(c.chunk+1, Abs) != nil {
				t.Error("buckets that end inside chunks")
			}
			return []*Node{r.EachEnd(c.every, func(h *Node) *Node { return h })}
		}, inputs[float64](s)...)
		optest.Near(t, fmt.Sprint("every ", c.every, " chunk ", c.chunk), got[0], want, 1e-12)
	}
}

// Groups of positions see the same states as all at once.
func TestEachStateAt(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 70, Heads: 16, HeadDim: 64, Groups: 2, State: 128}
	s := random(3, d, -0.2, 0, true)
	want := make([]float64, d.Tokens*d.Batch*d.Heads)
	recurrence.Naive(s, func(b, tok, j int, h []float64) {
		for _, v := range h {
			want[(tok*d.Batch+b)*d.Heads+j] = max(want[(tok*d.Batch+b)*d.Heads+j], math.Abs(v))
		}
	})
	positions := make([]int32, d.Tokens)
	for i := range positions {
		positions[i] = int32(i)
	}
	for _, dev := range optest.Devices(t)[len(optest.Devices(t))-1:] {
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			return []*Node{recurrence.Chunk(operands(in), 16).EachStateAt(in[7], func(h *Node) *Node { return ReduceMax(Abs(h), -1, -2) })}
		}, append(inputs[float32](s), tensors.FromFlatDataAndDimensions(positions, d.Tokens))...)
		optest.Near(t, fmt.Sprint(dev.Kind, " largest magnitude"), got[0], want, 1e-5)
	}
}
