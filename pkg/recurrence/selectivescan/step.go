package selectivescan

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Step is the recurrence for one token: the operands lack the axis of tokens, x, delta and write or nil are [batch, channels], b
// and c [batch, state]. It returns y [batch, channels] and the new state. The decay is applied as h + h·expm1(Δ A), which
// does not drift when it is within rounding of 1.
func Step(op Operands) (y, next *Node) {
	return step(op.written(), Mul(InsertAxes(op.Delta, -1), chunking.PerRow(op.A, 2)), op.B, op.C, op.Initial)
}

// step is Step with what is written in the direction of B, Δ x, and the log of the decay [batch, channels, state].
func step(written, logDecay, b, c, state *Node) (y, next *Node) {
	t := state.DType()
	row := func(v *Node) *Node { return InsertAxes(ConvertDType(v, t), 1) } // [batch, 1, state]
	write := Mul(InsertAxes(written, -1), row(b))
	next = Add(state, Add(Mul(state, Expm1(logDecay)), write))
	return ReduceSum(Mul(next, row(c)), -1), next
}
