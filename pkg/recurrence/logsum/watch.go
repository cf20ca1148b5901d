package logsum

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Watch returns what f shows of the state after every token, [batch, tokens, …] each. It runs token by token and has no
// gradient. The bonus is not used.
func (op Operands) Watch(f func(s State) []*Node) []*Node {
	d, t := dimsOf(op), op.LogDecay.DType()
	s := op.initial(d)
	xs := []*Node{ConvertDType(op.K, t), ConvertDType(op.V, t)}
	if op.Segments != nil {
		xs = append(xs, InsertAxes(chunking.Starts(op.Segments, t), -1))
	}
	if op.Length != nil {
		xs = append(xs, InsertAxes(op.live(d), -1))
	}
	return chunking.Walk([]*Node{s.Num, s.Den, s.Max}, xs, []*Node{op.LogDecay}, func(states, x, consts []*Node) (next, shown []*Node) {
		s := State{states[0], states[1], states[2]}
		if op.Segments != nil {
			s.Max = Max(Add(s.Max, x[2]), MulScalar(OnesLike(s.Max), Empty))
			kept := Exp(x[2])
			s.Num, s.Den = Mul(s.Num, kept), Mul(s.Den, kept)
		}
		_, after := Step(x[0], x[1], consts[0], consts[0], s)
		if op.Length != nil {
			after = s.unless(x[len(x)-1], after)
		}
		return []*Node{after.Num, after.Den, after.Max}, f(after)
	})
}

// Moments are sum and sum of squares of num/den over the channels after every token, float64 [batch, tokens, 1].
func (op Operands) Moments() (sum, squares *Node) {
	both := op.Watch(func(s State) []*Node { return chunking.Moments(InsertAxes(s.Average(), 1), -1) })
	return both[0], both[1]
}

// StatesAt returns the state after the tokens at positions (int32 [n]): [n, batch, channels] each.
func (op Operands) StatesAt(positions *Node) State {
	parts := op.Watch(func(s State) []*Node { return []*Node{s.Num, s.Den, s.Max} })
	return State{chunking.At(parts[0], positions), chunking.At(parts[1], positions), chunking.At(parts[2], positions)}
}
