package delta

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// Moments returns the sum and the sum of squares of the entries of the state after every token, float64
// [batch, tokens, heads] each. Nothing is kept for a gradient.
func (r Result) Moments() (sum, squares *Node) {
	c := r.c
	all := r.walk(r.entering, c.cut, nil, func(state *Node) []*Node {
		wide := ConvertDType(state, dtypes.Float64)
		return []*Node{ReduceSum(wide, 1, 2), ReduceSum(Square(wide), 1, 2)}
	})
	perToken := func(x *Node) *Node { // [q, z] -> [batch, tokens, heads]
		x = TransposeAllAxes(Reshape(x, c.q, c.chunks, c.Batch, c.Heads), 2, 1, 0, 3)
		return SliceAxis(Reshape(x, c.Batch, c.chunks*c.q, c.Heads), 1, AxisRange(0, c.Tokens))
	}
	return perToken(all[0]), perToken(all[1])
}

// StatesAt returns the states after the tokens at positions (int32 [n]): [n, batch, heads, key, value]. Nothing is kept
// for a gradient.
func (r Result) StatesAt(positions *Node) *Node {
	c, n, per := r.c, positions.Shape().Dim(0), r.c.Batch*r.c.Heads
	g, q := positions.Graph(), Scalar(positions.Graph(), dtypes.Int32, c.q)
	chunk := Div(positions, q)
	pick := func(x *Node) *Node { // [z, …] -> [n·batch·heads, …]
		rest := x.Shape().Dimensions[1:]
		x = Gather(Reshape(x, append([]int{c.chunks, per}, rest...)...), InsertAxes(chunk, -1))
		return Reshape(x, append([]int{n * per}, rest...)...)
	}
	offset := Sub(positions, Mul(chunk, q))
	offset = Reshape(BroadcastToDims(InsertAxes(offset, -1), n, per), n*per, 1, 1)
	cut := func(x *Node) *Node { return pick(c.cut(x)) }
	start := Zeros(g, shapes.Make(r.entering.DType(), n*per, c.Key, c.Value))
	found := r.walk(pick(r.entering), cut, []*Node{start, offset}, nil)
	return Reshape(found[0], n, c.Batch, c.Heads, c.Key, c.Value)
}

// walk follows the states of chunks side by side, token by token from those that enter them, and stacks what see makes of
// each; with found, a start and an offset, it returns the states after the tokens at offsets instead.
func (r Result) walk(entering *Node, cut func(x *Node) *Node, found []*Node, see func(state *Node) []*Node) []*Node {
	c, op := r.c, r.c.op
	operands := []*Node{op.Q, op.K, op.V, op.Erase, op.Read}
	if op.LogDecay != nil {
		operands = append(operands, perChannel(op.LogDecay, op.K))
	}
	var xs []*Node
	add := func(x *Node) { xs = append(xs, TransposeAllAxes(x, 1, 0, 2)) } // [q, z, n]
	for _, x := range operands {
		add(cut(x))
	}
	if op.Segments != nil {
		add(cut(c.kept()))
	}
	carry := append([]*Node{entering}, found...)
	last, ys := xla.Scan{N: c.q, Infer: true}.Run(carry, xs, nil, func(it *xla.Iter, carry, x, _ []*Node) (next, ys []*Node) {
		state := carry[0]
		if op.Segments != nil {
			state, x = Mul(state, InsertAxes(x[len(x)-1], -1)), x[:len(x)-1]
		}
		one := Operands{Initial: InsertAxes(state, 1)}
		for i, to := range []**Node{&one.Q, &one.K, &one.V, &one.Erase, &one.Read, &one.LogDecay} {
			if i < len(x) {
				*to = InsertAxes(x[i], 1) // one head
			}
		}
		_, after := Step(one)
		after = Squeeze(after, 1)
		next = []*Node{after}
		if found != nil {
			here := BroadcastToDims(Equal(carry[2], it.I), after.Shape().Dimensions...)
			return append(next, Where(here, after, carry[1]), carry[2]), nil
		}
		return next, see(after)
	})
	if found != nil {
		return []*Node{StopGradient(last[1])}
	}
	for i := range ys {
		ys[i] = StopGradient(ys[i])
	}
	return ys
}

// kept is 0 where a token begins a document and 1 elsewhere, [batch, tokens, heads, 1].
func (c *chunked) kept() *Node {
	seg := c.op.Segments
	same := ConvertDType(Equal(seg, ShiftWithScalar(seg, 1, ShiftDirRight, 1, 0)), c.op.V.DType())
	return BroadcastToDims(InsertAxes(same, -1, -1), c.Batch, c.Tokens, c.Heads, 1)
}
