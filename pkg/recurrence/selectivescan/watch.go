package selectivescan

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Watch returns what f shows of the state [batch, channels, state] after every token, [batch, tokens, …] each. It runs
// token by token and has no gradient. C is not used.
func (op Operands) Watch(f func(state *Node) []*Node) []*Node {
	t := op.Delta.DType()
	xs := []*Node{ConvertDType(op.X, t), op.Delta, ConvertDType(op.B, t)}
	if op.Segments != nil {
		xs = append(xs, InsertAxes(chunking.Starts(op.Segments, t), -1))
	}
	return chunking.Walk([]*Node{op.initial()}, xs, []*Node{op.A}, func(states, x, consts []*Node) (next, shown []*Node) {
		decay := Mul(InsertAxes(x[1], -1), InsertAxes(consts[0], 0))
		if op.Segments != nil {
			decay = Add(decay, InsertAxes(x[3], -1))
		}
		_, s := step(x[0], x[1], decay, x[2], x[2], states[0])
		return []*Node{s}, f(s)
	})
}

// Moments are sum and sum of squares of all entries of the state after every token, float64 [batch, tokens, 1].
func (op Operands) Moments() (sum, squares *Node) {
	both := op.Watch(func(s *Node) []*Node { return chunking.Moments(InsertAxes(s, 1), -2, -1) })
	return both[0], both[1]
}

func (op Operands) initial() *Node {
	if op.Initial != nil {
		return op.Initial
	}
	d := dimsOf(op)
	return Zeros(op.X.Graph(), shapes.Make(op.Delta.DType(), d.Batch, d.Channels, d.State))
}
