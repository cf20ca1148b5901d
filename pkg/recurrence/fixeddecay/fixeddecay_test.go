package fixeddecay_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/recurrence/internal/optest"
)

func TestRetention(t *testing.T) {
	const heads, keys, values = 2, 4, 3
	optest.Operator{
		Chunks: []int{5, 16, 64},
		Random: func(r *rand.Rand, batch, tokens int) []optest.Input {
			of := func(name string, role optest.Role, value []float64, dims ...int) optest.Input {
				return optest.Input{Name: name, Role: role, Dims: dims, Value: value}
			}
			n := batch * tokens * heads
			return []optest.Input{
				of("q", optest.Token, optest.Normal(r, n*keys, 1), batch, tokens, heads, keys),
				of("k", optest.Token, optest.Normal(r, n*keys, 1), batch, tokens, heads, keys),
				of("v", optest.Token, optest.Normal(r, n*values, 1), batch, tokens, heads, values),
				of("g", optest.Whole, optest.Uniform(r, heads, -0.3, -0.01), heads),
				of("initial", optest.State, optest.Normal(r, batch*heads*keys*values, 1), batch, heads, keys, values),
			}
		},
		Extreme: func(in []optest.Input, gate float64, mixed bool) {
			for i := range in[3].Value {
				if in[3].Value[i] = gate; mixed && i > 0 {
					in[3].Value[i] = -1e-6
				}
			}
		},
		Naive: func(in []optest.Input, segments []int) [][]float64 {
			y, state := fixeddecay.Naive(fixeddecay.Sequence{
				Dims: fixeddecay.Dims{Batch: in[0].Dims[0], Tokens: in[0].Dims[1], Heads: heads, Keys: keys, Values: values},
				Q:    in[0].Value, K: in[1].Value, V: in[2].Value, LogDecay: in[3].Value, Initial: in[4].Value, Segments: segments}, nil)
			return [][]float64{y, state}
		},
		Chunk: func(in []*Node, segments *Node, q int) []*Node {
			y, state := fixeddecay.Chunk(fixeddecay.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Initial: in[4], Segments: segments}, q)
			return []*Node{y, state}
		},
		Padded: func(in []*Node, length *Node, q int) []*Node {
			y, state := fixeddecay.Chunk(fixeddecay.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Initial: in[4], Length: length}, q)
			return []*Node{y, state}
		},
		Step: func(in []*Node) []*Node {
			y, state := fixeddecay.Step(in[0], in[1], in[2], in[3], in[4])
			return []*Node{y, state}
		},
	}.All(t)
}

// TestReferenceCases recomputes float64 autograd: both sides of a chunk, extreme decays, packed documents.
func TestReferenceCases(t *testing.T) {
	optest.Fixtures(t, "testdata/*.safetensors", 4, []string{"q", "k", "v"}, func(by map[string]*Node, segments *Node) (y, state *Node) {
		q := MulScalar(by["q"], 1/math.Sqrt(float64(by["q"].Shape().Dim(-1))))
		return fixeddecay.Chunk(fixeddecay.Operands{Q: q, K: by["k"], V: by["v"], LogDecay: by["g"], Initial: by["h0"], Segments: segments}, 64)
	})
}

// The decays of RetNet's first two heads.
func ExampleRetention() {
	for _, log := range fixeddecay.Retention(2) {
		fmt.Println(math.Exp(log))
	}
	// Output:
	// 0.96875
	// 0.984375
}
