package logsum_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/pkg/recurrence/logsum"
)

const channels = 5

func state(in []*Node) *logsum.State { return &logsum.State{Num: in[2], Den: in[3], Max: in[4]} }

func sequence(in []optest.Input, segments []int) logsum.Sequence {
	return logsum.Sequence{Dims: logsum.Dims{Batch: in[0].Dims[0], Tokens: in[0].Dims[1], Channels: channels},
		K: in[0].Value, V: in[1].Value, Num: in[2].Value, Den: in[3].Value, Max: in[4].Value, LogDecay: in[5].Value, Bonus: in[6].Value, Segments: segments}
}

// operator compares what a state means: num / den and ln(den e^max).
var operator = optest.Operator{
	Chunks: []int{5, 16, 64},
	Random: func(r *rand.Rand, batch, tokens int) []optest.Input {
		of := func(name string, role optest.Role, value []float64, dims ...int) optest.Input {
			return optest.Input{Name: name, Role: role, Dims: dims, Value: value}
		}
		n := batch * tokens * channels
		return []optest.Input{
			of("k", optest.Token, optest.Normal(r, n, 1), batch, tokens, channels),
			of("v", optest.Token, optest.Normal(r, n, 1), batch, tokens, channels),
			of("num", optest.State, optest.Normal(r, batch*channels, 1), batch, channels),
			of("den", optest.State, optest.Uniform(r, batch*channels, 0.5, 2), batch, channels),
			of("max", optest.State, optest.Normal(r, batch*channels, 1), batch, channels),
			of("w", optest.Whole, optest.Uniform(r, channels, -0.6, -0.01), channels),
			of("u", optest.Whole, optest.Normal(r, channels, 1), channels),
		}
	},
	Extreme: func(in []optest.Input, gate float64, mixed bool) {
		for i := range in[5].Value {
			if in[5].Value[i] = gate; mixed && i%3 == 0 {
				in[5].Value[i] = -1e-6
			}
		}
		for i := range in[0].Value {
			if mixed && i%7 == 0 {
				in[0].Value[i] *= 100 // e^k overflows
			}
		}
	},
	Naive: func(in []optest.Input, segments []int) [][]float64 {
		y, num, den, max := logsum.Naive(sequence(in, segments), nil)
		return [][]float64{y, num, den, max}
	},
	Chunk: func(in []*Node, segments *Node, q int) []*Node {
		y, s := logsum.Chunk(logsum.Operands{K: in[0], V: in[1], LogDecay: in[5], Bonus: in[6], Initial: state(in), Segments: segments}, q)
		return []*Node{y, s.Num, s.Den, s.Max}
	},
	Padded: func(in []*Node, length *Node, q int) []*Node {
		y, s := logsum.Chunk(logsum.Operands{K: in[0], V: in[1], LogDecay: in[5], Bonus: in[6], Initial: state(in), Length: length}, q)
		return []*Node{y, s.Num, s.Den, s.Max}
	},
	Step: func(in []*Node) []*Node {
		y, s := logsum.Step(in[0], in[1], in[5], in[6], *state(in))
		return []*Node{y, s.Num, s.Den, s.Max}
	},
	Restart: func(s []*Node) []*Node {
		d := s[0].Shape().Dimensions
		empty := logsum.NewState(s[0].Graph(), s[0].DType(), d[0], d[1])
		return []*Node{empty.Num, empty.Den, empty.Max}
	},
	Invariant: func(o []*Node) []*Node { return []*Node{o[0], Div(o[1], o[2]), Add(Log(o[2]), o[3])} },
	Invariants: func(o [][]float64) [][]float64 {
		ratio, log := make([]float64, len(o[1])), make([]float64, len(o[1]))
		for i := range ratio {
			ratio[i], log[i] = o[1][i]/o[2][i], math.Log(o[2][i])+o[3][i]
		}
		return [][]float64{o[0], ratio, log}
	},
}

func TestLogSum(t *testing.T) { operator.All(t) }

// TestMoments watches num / den after every token of packed documents.
func TestMoments(t *testing.T) {
	in := operator.Random(rand.New(rand.NewPCG(3, 1)), 1, 20)
	optest.Shown(t, in, func(in []*Node, segments *Node) []*Node {
		sum, squares := logsum.Operands{K: in[0], V: in[1], LogDecay: in[5], Bonus: in[6], Initial: state(in), Segments: segments}.Moments()
		return []*Node{sum, squares}
	}, func(segments []int) [][]float64 {
		var sums, squares []float64
		logsum.Naive(sequence(in, segments), func(_, _ int, num, den, _ []float64) {
			average := make([]float64, channels)
			for c := range average {
				average[c] = num[c] / den[c]
			}
			sum, square := optest.Moments(average)
			sums, squares = append(sums, sum), append(squares, square)
		})
		return [][]float64{sums, squares}
	})
}

// TestSameMaximum: the graphs keep the max of the definition, not only what it means.
func TestSameMaximum(t *testing.T) {
	in := operator.Random(rand.New(rand.NewPCG(3, 1)), 1, 37)
	_, num, den, top := logsum.Naive(sequence(in, nil), nil)
	got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
		_, s := logsum.Chunk(logsum.Operands{K: in[0], V: in[1], LogDecay: in[5], Bonus: in[6], Initial: state(in)}, 16)
		return []*Node{s.Num, s.Den, s.Max}
	}, optest.Arguments(in)...)
	for i, want := range [][]float64{num, den, top} {
		optest.Near(t, fmt.Sprint("part ", i), got[i], want, 1e-12)
	}
}

// Without decay y is the mean of the values weighed by e^k; the token itself counts e^u times.
func ExampleNaive() {
	y, num, den, _ := logsum.Naive(logsum.Sequence{Dims: logsum.Dims{Batch: 1, Tokens: 3, Channels: 1},
		K: []float64{0, 0, 0}, V: []float64{3, 6, 0}, LogDecay: []float64{0}, Bonus: []float64{0}}, nil)
	fmt.Println(y, num[0]/den[0])
	// Output: [3 4.5 3] 3
}
