package recurrence

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Step is the recurrence for one token: x [batch, heads, headDim], delta (or Operands.Write) and logAlpha [batch, heads],
// b and c [batch, groups, state], state [batch, heads, headDim, state] in the dtype of delta.
// It returns y [batch, heads, headDim] without D x, and the new state. The decay is applied as
// h + h·expm1(log α), which does not drift when α is within rounding of 1.
func Step(x, delta, logAlpha, b, c, state *Node) (y, next *Node) {
	d := state.Shape().Dimensions
	perHead := func(v *Node) *Node { // [b,g,n] -> [b,h,1,n]
		g := v.Shape().Dim(1)
		v = ConvertDType(v, state.DType())
		v = BroadcastToDims(InsertAxes(v, 2), d[0], g, d[1]/g, d[3])
		return Reshape(v, d[0], d[1], 1, d[3])
	}
	write := Mul(InsertAxes(Mul(ConvertDType(x, state.DType()), InsertAxes(delta, -1)), -1), perHead(b))
	next = Add(state, Add(Mul(state, InsertAxes(Expm1(logAlpha), -1, -1)), write))
	return ReduceSum(Mul(next, perHead(c)), -1), next
}
