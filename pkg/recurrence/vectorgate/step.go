package vectorgate

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Step is the recurrence for one token: q, k and logDecay [batch, heads, keys], v [batch, heads, values], bonus
// [(batch,) heads, keys] or nil, state [batch, heads, keys, values]. It returns y [batch, heads, values] and the new state. The
// decay is applied as S + S·expm1(g), which does not drift when e^g is within rounding of 1.
func Step(q, k, v, logDecay, bonus, state *Node) (y, next *Node) {
	t := state.DType()
	q, k, v = ConvertDType(q, t), ConvertDType(k, t), ConvertDType(v, t)
	write := Mul(InsertAxes(k, -1), InsertAxes(v, -2))
	next = Add(state, Add(Mul(state, InsertAxes(Expm1(logDecay), -1)), write))
	read := next
	if bonus != nil {
		read = Add(state, Mul(write, InsertAxes(chunking.PerRow(ConvertDType(bonus, t), 2), -1)))
	}
	return ReduceSum(Mul(read, InsertAxes(q, -1)), -2), next
}
