package delta_test

import (
	"fmt"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestStatesEqualNaive: moments after every token and states after some, of packed documents too.
func TestStatesEqualNaive(t *testing.T) {
	d := delta.Dims{Batch: 2, Tokens: 37, Heads: 2, Key: 4, Value: 3}
	positions := []int32{0, 1, 7, 8, 9, 15, 36}
	for i, gate := range gates {
		c := random(21, d, gate, erasures[i%2], -0.3, 0)
		if i > 0 {
			c.segments = make([]int32, d.Batch*d.Tokens)
			for at := range c.segments {
				c.segments[at] = int32(at%d.Tokens/9 + at/d.Tokens)
			}
		}
		sum, squares := make([]float64, d.Batch*d.Tokens*d.Heads), make([]float64, d.Batch*d.Tokens*d.Heads)
		size := d.Key * d.Value
		states := make([]float64, len(positions)*d.Batch*d.Heads*size)
		delta.Naive(c.sequence(), func(b, tok, h int, state []float64) {
			for _, v := range state {
				sum[(b*d.Tokens+tok)*d.Heads+h] += v
				squares[(b*d.Tokens+tok)*d.Heads+h] += v * v
			}
			for n, p := range positions {
				if int(p) == tok {
					copy(states[((n*d.Batch+b)*d.Heads+h)*size:], state)
				}
			}
		})
		for _, dev := range optest.Devices(t) {
			names, args := inputs[float64](c)
			args = append(args, tensors.FromFlatDataAndDimensions(positions, len(positions)))
			got := optest.Run(t, dev, func(in []*Node) []*Node {
				r := delta.Chunk(operands(names, in), 8)
				m, q := r.Moments()
				return []*Node{m, q, r.StatesAt(in[len(in)-1])}
			}, args...)
			name := fmt.Sprint(dev.Kind, " ", gate)
			optest.Near(t, name+": sum", got[0], sum, 1e-12)
			optest.Near(t, name+": squares", got[1], squares, 1e-12)
			optest.Near(t, name+": states", got[2], states, 1e-12)
		}
	}
}
