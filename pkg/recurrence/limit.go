package recurrence

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// NormLimit is the recurrence with h ← h·min(1, limit/‖h‖) after every so many tokens (arXiv 2410.07145, method 2), ‖h‖ the
// Frobenius norm of a head. It is not linear, so tokens run one after the other: every token with [Step] when Every is 1,
// and then y is read from the scaled state; else pieces with [Chunk], scaled at their ends and at the end of the call.
type NormLimit struct {
	Norm  *Node // [batch, tokens, heads]; +Inf for none
	Every int
	Infer bool // no gradient will be asked for
}

// Run returns y [batch, tokens, heads, headDim] without D x and the last state.
func (l NormLimit) Run(op Operands) (y, state *Node) {
	outs := l.run(op, func(y, h *Node, _ func() (*Node, *Node)) []*Node { return []*Node{y} })
	return outs[0], outs[1]
}

// Moments are sum and sum of squares of the entries of h_t, float64 [batch, tokens, heads], before the scaling at the
// ends of pieces and after it when Every is 1.
func (l NormLimit) Moments(op Operands) (sum, squares *Node) {
	outs := l.run(op, func(_, h *Node, moments func() (*Node, *Node)) []*Node {
		sum, squares := moments()
		return []*Node{sum, squares}
	})
	return outs[0], outs[1]
}

// StatesAt returns h after the tokens at positions (int32 [n]): [n, batch, heads, headDim, state]. Every must be 1.
func (l NormLimit) StatesAt(op Operands, positions *Node) *Node {
	if l.Every != 1 {
		panic(fmt.Errorf("recurrence: states between the limits of every %d tokens are not kept; limit the norm after every token", l.Every))
	}
	outs := l.run(op, func(_, h *Node, _ func() (*Node, *Node)) []*Node { return []*Node{InsertAxes(h, 1)} })
	n := positions.Shape().Dim(0)
	return Gather(TransposeAllAxes(outs[0], 1, 0, 2, 3, 4), Reshape(positions, n, 1))
}

// run loops over pieces; pick chooses what of each piece [batch, every, …] is returned, joined to [batch, tokens, …],
// before the last state.
func (l NormLimit) run(op Operands, pick func(y, h *Node, moments func() (*Node, *Node)) []*Node) []*Node {
	d := dimsOf(op)
	if op.Segments != nil || op.Initial == nil {
		panic(fmt.Errorf("recurrence: a limited norm needs an initial state and takes no segments"))
	}
	if l.Every < 1 {
		panic(fmt.Errorf("recurrence: the norm is limited every %d tokens, must be at least 1", l.Every))
	}
	write := op.Write
	if write == nil {
		write = op.Delta
	}
	every := min(l.Every, max(d.Tokens, 1))
	pieces := max(1, (d.Tokens+every-1)/every)
	var xs []*Node
	for _, x := range []*Node{op.X, write, op.LogAlpha, op.B, op.C, l.Norm} { // [b,t,…] -> [piece,b,every,…]
		if missing := pieces*every - d.Tokens; missing > 0 && x == l.Norm {
			last := SliceAxis(x, 1, AxisRangeToEnd(d.Tokens-1))
			x = Concatenate([]*Node{x, Mul(last, Ones(x.Graph(), shapes.Make(x.DType(), d.Batch, missing, d.Heads)))}, 1)
		}
		x = chunking.PadTokens(x, pieces*every)
		dims := x.Shape().Dimensions
		x = Reshape(x, append([]int{d.Batch, pieces, every}, dims[2:]...)...)
		perm := []int{1, 0, 2, 3, 4}
		xs = append(xs, TransposeAllAxes(x, perm[:x.Rank()]...))
	}
	body := func(_ *xla.Iter, carry, x, _ []*Node) (next, ys []*Node) {
		one := func(i int) *Node { return Squeeze(x[i], 1) }
		limit := Squeeze(SliceAxis(x[5], 1, AxisElem(every-1)), 1) // [b,h]
		if l.Every == 1 {
			_, h := Step(one(0), one(1), one(2), one(3), one(4), carry[0])
			h = scaleTo(h, limit)
			y := InsertAxes(readState(h, one(4)), 1)
			return []*Node{h}, pick(y, h, func() (*Node, *Node) {
				wide := ConvertDType(h, dtypes.Float64)
				return InsertAxes(ReduceSum(wide, -1, -2), 1), InsertAxes(ReduceSum(Square(wide), -1, -2), 1)
			})
		}
		r := Chunk(Operands{X: x[0], Delta: x[1], LogAlpha: x[2], B: x[3], C: x[4], Initial: carry[0]}, every)
		return []*Node{scaleTo(r.State, limit)}, pick(r.Y, r.State, r.Moments)
	}
	last, ys := xla.Scan{N: pieces, Infer: l.Infer}.Run([]*Node{op.Initial}, xs, nil, body)
	var outs []*Node
	for _, y := range ys { // [piece,b,every,…] -> [b,tokens,…]
		perm := []int{1, 0, 2, 3, 4, 5}
		dims := y.Shape().Dimensions
		y = Reshape(TransposeAllAxes(y, perm[:y.Rank()]...), append([]int{d.Batch, pieces * every}, dims[3:]...)...)
		outs = append(outs, SliceAxis(y, 1, AxisRange(0, d.Tokens)))
	}
	return append(outs, last...)
}

// scaleTo is h·min(1, limit/‖h‖), limit [batch, heads]. The bound lies within the root, so that a state of zeros has a
// gradient.
func scaleTo(h, limit *Node) *Node {
	norm := Sqrt(MaxScalar(ReduceSum(Square(h), -1, -2), 1e-36))
	return Mul(h, InsertAxes(MinScalar(Div(limit, norm), 1), -1, -1))
}

// readState is h C, c [batch, groups, state]: [batch, heads, headDim].
func readState(h, c *Node) *Node {
	d, g := h.Shape().Dimensions, c.Shape().Dim(1)
	split := Reshape(h, d[0], g, d[1]/g, d[2], d[3])
	key := InsertAxes(ConvertDType(c, h.DType()), 2, 2)
	return Reshape(ReduceSum(Mul(split, key), -1), d[0], d[1], d[2])
}
