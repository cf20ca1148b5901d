package chunking

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// Walk runs a step over the tokens of xs, [batch, tokens, …] each, and returns what it shows of every one, [batch, tokens,
// …], without a gradient. It is how states are watched: nothing but what step shows is kept.
func Walk(states, xs, consts []*Node, step func(states, x, consts []*Node) (next, shown []*Node)) []*Node {
	var byToken []*Node
	for _, x := range xs {
		byToken = append(byToken, swap(StopGradient(x)))
	}
	_, ys := xla.Scan{N: byToken[0].Shape().Dim(0), Infer: true}.Run(stopped(states), byToken, stopped(consts),
		func(_ *xla.Iter, carry, x, consts []*Node) (next, ys []*Node) { return step(carry, x, consts) })
	for i, y := range ys {
		ys[i] = StopGradient(swap(y))
	}
	return ys
}

func stopped(list []*Node) (out []*Node) {
	for _, x := range list {
		out = append(out, StopGradient(x))
	}
	return out
}

func swap(x *Node) *Node {
	perm := []int{1, 0, 2, 3, 4, 5, 6}
	return TransposeAllAxes(x, perm[:x.Rank()]...)
}

// Starts is log 0 at the tokens that begin a document and 0 elsewhere, [batch, tokens].
func Starts(segments *Node, t dtypes.DType) *Node {
	shape := shapes.Make(t, segments.Shape().Dimensions...)
	starts := NotEqual(segments, ShiftWithScalar(segments, 1, ShiftDirRight, 1, 0))
	return Where(starts, BroadcastToShape(Scalar(segments.Graph(), t, Cut), shape), Zeros(segments.Graph(), shape))
}

// Moments are sum and sum of squares over the axes of x, in float64.
func Moments(x *Node, axes ...int) []*Node {
	x = ConvertDType(x, dtypes.Float64)
	return []*Node{ReduceSum(x, axes...), ReduceSum(Square(x), axes...)}
}

// At takes tokens int32 [n] of what Walk showed, [batch, tokens, …]: [n, batch, …].
func At(shown, tokens *Node) *Node {
	return Gather(swap(shown), Reshape(tokens, tokens.Shape().Dim(0), 1))
}
