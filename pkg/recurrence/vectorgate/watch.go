package vectorgate

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Watch returns what f shows of the state [batch, heads, keys, values] after every token, [batch, tokens, …] each. It runs
// token by token and has no gradient. Q is not used.
func (op Operands) Watch(f func(state *Node) []*Node) []*Node {
	c := &call{Dims: dimsOf(op), gate: op.LogDecay.DType()}
	decay := op.LogDecay
	if op.Segments != nil {
		decay = Add(decay, InsertAxes(chunking.Starts(op.Segments, c.gate), -1, -1))
	}
	xs := []*Node{ConvertDType(op.K, c.gate), ConvertDType(op.V, c.gate), decay}
	return chunking.Walk([]*Node{op.initial(c.Dims)}, xs, nil, func(states, x, _ []*Node) (next, shown []*Node) {
		_, s := Step(x[0], x[0], x[1], x[2], nil, states[0])
		return []*Node{s}, f(s)
	})
}

// Moments are sum and sum of squares of the entries of the state after every token, float64 [batch, tokens, heads].
func (op Operands) Moments() (sum, squares *Node) {
	both := op.Watch(func(s *Node) []*Node { return chunking.Moments(s, -2, -1) })
	return both[0], both[1]
}

// StatesAt returns the state after the tokens at positions (int32 [n]): [n, batch, heads, keys, values].
func (op Operands) StatesAt(positions *Node) *Node {
	return chunking.At(op.Watch(func(s *Node) []*Node { return []*Node{s} })[0], positions)
}
