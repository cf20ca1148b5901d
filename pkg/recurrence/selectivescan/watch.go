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
	xs := []*Node{op.written(), op.Delta, ConvertDType(op.B, t)}
	if op.Segments != nil {
		xs = append(xs, InsertAxes(chunking.Starts(op.Segments, t), -1))
	}
	return chunking.Walk([]*Node{op.initial()}, xs, []*Node{op.A}, func(states, x, consts []*Node) (next, shown []*Node) {
		decay := Mul(InsertAxes(x[1], -1), chunking.PerRow(consts[0], 2))
		if op.Segments != nil {
			decay = Add(decay, InsertAxes(x[3], -1))
		}
		_, s := step(x[0], decay, x[2], x[2], states[0])
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

// StatesAt returns the state after the tokens at positions (int32 [n]): [n, batch, channels, state].
func (op Operands) StatesAt(positions *Node) *Node {
	return chunking.At(op.Watch(func(s *Node) []*Node { return []*Node{s} })[0], positions)
}
