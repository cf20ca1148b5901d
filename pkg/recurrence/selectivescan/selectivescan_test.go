package selectivescan_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/pkg/recurrence/selectivescan"
)

const channels, states = 3, 4

func sequence(in []optest.Input, segments []int) selectivescan.Sequence {
	return selectivescan.Sequence{
		Dims: selectivescan.Dims{Batch: in[0].Dims[0], Tokens: in[0].Dims[1], Channels: channels, State: states},
		X:    in[0].Value, Delta: in[1].Value, B: in[2].Value, C: in[3].Value, A: in[4].Value, Initial: in[5].Value, Segments: segments}
}

var operator = optest.Operator{
	Chunks: []int{5, 16, 64},
	Random: func(r *rand.Rand, batch, tokens int) []optest.Input {
		of := func(name string, role optest.Role, value []float64, dims ...int) optest.Input {
			return optest.Input{Name: name, Role: role, Dims: dims, Value: value}
		}
		n := batch * tokens
		return []optest.Input{
			of("x", optest.Token, optest.Normal(r, n*channels, 1), batch, tokens, channels),
			of("delta", optest.Token, optest.Uniform(r, n*channels, 0.01, 0.6), batch, tokens, channels),
			of("B", optest.Token, optest.Normal(r, n*states, 1), batch, tokens, states),
			of("C", optest.Token, optest.Normal(r, n*states, 1), batch, tokens, states),
			of("A", optest.Whole, optest.Uniform(r, channels*states, -2, -0.1), channels, states),
			of("initial", optest.State, optest.Normal(r, batch*channels*states, 1), batch, channels, states),
		}
	},
	Extreme: func(in []optest.Input, gate float64, mixed bool) {
		for i := range in[4].Value {
			in[4].Value[i] = gate
		}
		for i := range in[1].Value {
			if in[1].Value[i] = 1; mixed && i%3 == 0 {
				in[1].Value[i] = 1e-6
			}
		}
	},
	Naive: func(in []optest.Input, segments []int) [][]float64 {
		y, state := selectivescan.Naive(sequence(in, segments), nil)
		return [][]float64{y, state}
	},
	Chunk: func(in []*Node, segments *Node, q int) []*Node {
		y, state := selectivescan.Chunk(selectivescan.Operands{X: in[0], Delta: in[1], B: in[2], C: in[3], A: in[4], Initial: in[5], Segments: segments}, q)
		return []*Node{y, state}
	},
	Step: func(in []*Node) []*Node {
		y, state := selectivescan.Step(selectivescan.Operands{X: in[0], Delta: in[1], B: in[2], C: in[3], A: in[4], Initial: in[5]})
		return []*Node{y, state}
	},
}

func TestSelectiveScan(t *testing.T) { operator.All(t) }

// TestMoments watches the state after every token of packed documents.
func TestMoments(t *testing.T) {
	in := operator.Random(rand.New(rand.NewPCG(3, 1)), 1, 20)
	optest.Shown(t, in, func(in []*Node, segments *Node) []*Node {
		sum, squares := selectivescan.Operands{X: in[0], Delta: in[1], B: in[2], C: in[3], A: in[4], Initial: in[5], Segments: segments}.Moments()
		return []*Node{sum, squares}
	}, func(segments []int) [][]float64 {
		var sums, squares []float64
		selectivescan.Naive(sequence(in, segments), func(_, _ int, h []float64) {
			sum, square := optest.Moments(h)
			sums, squares = append(sums, sum), append(squares, square)
		})
		return [][]float64{sums, squares}
	})
}

// TestWrite: a strength of the write in place of Δ is the operator on other x.
func TestWrite(t *testing.T) {
	in := operator.Random(rand.New(rand.NewPCG(3, 1)), 1, 20)
	doubled := slices.Clone(in)
	doubled[0].Value = slices.Clone(in[0].Value)
	for i := range doubled[0].Value {
		doubled[0].Value[i] *= 2
	}
	y, state := selectivescan.Naive(sequence(doubled, nil), nil)
	got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
		y, h := selectivescan.Chunk(selectivescan.Operands{X: in[0], Delta: in[1], Write: MulScalar(in[1], 2), B: in[2], C: in[3], A: in[4], Initial: in[5]}, 8)
		return []*Node{y, h}
	}, optest.Arguments(in)...)
	optest.Near(t, "y", got[0], y, 1e-12)
	optest.Near(t, "state", got[1], state, 1e-12)
}
