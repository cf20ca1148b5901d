package vectorgate_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/pkg/recurrence/vectorgate"
)

// operator is the recurrence with or without a bonus, keys and values of different sizes.
func operator(bonus bool) optest.Operator {
	const heads, keys, values = 2, 4, 3
	dims := func(in []optest.Input) vectorgate.Dims {
		return vectorgate.Dims{Batch: in[0].Dims[0], Tokens: in[0].Dims[1], Heads: heads, Keys: keys, Values: values}
	}
	operands := func(in []*Node) vectorgate.Operands {
		op := vectorgate.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Initial: in[4]}
		if bonus {
			op.Bonus = in[5]
		}
		return op
	}
	return optest.Operator{
		Chunks: []int{5, 16, 64},
		Random: func(r *rand.Rand, batch, tokens int) []optest.Input {
			of := func(name string, role optest.Role, value []float64, dims ...int) optest.Input {
				return optest.Input{Name: name, Role: role, Dims: dims, Value: value}
			}
			n := batch * tokens * heads
			in := []optest.Input{
				of("q", optest.Token, optest.Normal(r, n*keys, 1), batch, tokens, heads, keys),
				of("k", optest.Token, optest.Normal(r, n*keys, 1), batch, tokens, heads, keys),
				of("v", optest.Token, optest.Normal(r, n*values, 1), batch, tokens, heads, values),
				of("g", optest.Token, optest.Uniform(r, n*keys, -0.6, -0.01), batch, tokens, heads, keys),
				of("initial", optest.State, optest.Normal(r, batch*heads*keys*values, 1), batch, heads, keys, values),
			}
			if bonus {
				in = append(in, of("u", optest.Whole, optest.Normal(r, heads*keys, 1), heads, keys))
			}
			return in
		},
		Extreme: func(in []optest.Input, gate float64, mixed bool) {
			for i := range in[3].Value {
				if in[3].Value[i] = gate; mixed && i%3 == 0 {
					in[3].Value[i] = -1e-6
				}
			}
		},
		Naive: func(in []optest.Input, segments []int) [][]float64 {
			s := vectorgate.Sequence{Dims: dims(in), Q: in[0].Value, K: in[1].Value, V: in[2].Value, LogDecay: in[3].Value,
				Initial: in[4].Value, Segments: segments}
			if bonus {
				s.Bonus = in[5].Value
			}
			y, state := vectorgate.Naive(s, nil)
			return [][]float64{y, state}
		},
		Chunk: func(in []*Node, segments *Node, q int) []*Node {
			op := operands(in)
			op.Segments = segments
			y, state := vectorgate.Chunk(op, q)
			return []*Node{y, state}
		},
		Step: func(in []*Node) []*Node {
			op := operands(in)
			y, state := vectorgate.Step(op.Q, op.K, op.V, op.LogDecay, op.Bonus, op.Initial)
			return []*Node{y, state}
		},
	}
}

func TestReadAfterWrite(t *testing.T)  { operator(false).All(t) }
func TestReadBeforeWrite(t *testing.T) { operator(true).All(t) }

// TestMoments watches the state after every token of packed documents.
func TestMoments(t *testing.T) {
	o := operator(false)
	in := o.Random(rand.New(rand.NewPCG(3, 1)), 1, 20)
	optest.Shown(t, in, func(in []*Node, segments *Node) []*Node {
		sum, squares := vectorgate.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Initial: in[4], Segments: segments}.Moments()
		return []*Node{sum, squares}
	}, func(segments []int) [][]float64 {
		var sums, squares []float64
		vectorgate.Naive(vectorgate.Sequence{Dims: vectorgate.Dims{Batch: 1, Tokens: 20, Heads: 2, Keys: 4, Values: 3}, Q: in[0].Value, K: in[1].Value,
			V: in[2].Value, LogDecay: in[3].Value, Initial: in[4].Value, Segments: segments}, func(_, _, _ int, s []float64) {
			sum, square := optest.Moments(s)
			sums, squares = append(sums, sum), append(squares, square)
		})
		return [][]float64{sums, squares}
	})
}
