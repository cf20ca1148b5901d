package selectivescan

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Step is the recurrence for one token: x and delta [batch, channels], a [channels, state], b and c [batch, state], state
// [batch, channels, state] in the dtype of delta. It returns y [batch, channels] and the new state. The decay is
// applied as h + h·expm1(Δ A), which does not drift when it is within rounding of 1.
func Step(x, delta, a, b, c, state *Node) (y, next *Node) {
	return step(x, delta, Mul(InsertAxes(delta, -1), InsertAxes(a, 0)), b, c, state)
}

// step is Step with the log of the decay [batch, channels, state].
func step(x, delta, logDecay, b, c, state *Node) (y, next *Node) {
	t := state.DType()
	row := func(v *Node) *Node { return InsertAxes(ConvertDType(v, t), 1) } // [batch, 1, state]
	write := Mul(InsertAxes(Mul(delta, ConvertDType(x, t)), -1), row(b))
	next = Add(state, Add(Mul(state, Expm1(logDecay)), write))
	return ReduceSum(Mul(next, row(c)), -1), next
}
