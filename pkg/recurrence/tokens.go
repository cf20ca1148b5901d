package recurrence

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// tokenMajor is Chunk for processors without kernels: the channels of all heads of a group lie side by side behind the
// tokens, as the projections leave them, and states are [state, head, headDim]. Every large operand then enters its
// products, forward and backward, as it lies in memory; only B, C and the scores are ever turned round.
func tokenMajor(op Operands, q int) (y *Node, c *chunked) {
	c = cutUp(op, q)
	d, r := c.dims, c.dims.Heads/c.dims.Groups
	wide := func(x *Node) *Node { // [b,k,g,·,r,p] -> [b,k,g,·,r·p]
		s := x.Shape().Dimensions
		return Reshape(x, s[0], s[1], s[2], s[3], s[4]*s[5])
	}
	apart := func(x *Node) *Node { // and back
		s := x.Shape().Dimensions
		return Reshape(x, s[0], s[1], s[2], s[3], r, d.HeadDim)
	}
	perHead := func(gate *Node) *Node { return InsertAxes(TransposeAllAxes(gate, 0, 1, 2, 4, 3), -1) } // [b,k,g,j,r,1]
	swap := func(x *Node) *Node { return TransposeAllAxes(x, 0, 1, 2, 4, 3, 5) }                       // [b,k,g,·,r,p] <-> [b,k,g,r,·,p]

	weighted := ConvertDType(Mul(ConvertDType(c.x, c.gate), perHead(c.leave)), c.x.DType())
	own := swap(apart(chunking.Product("bkgjn,bkgjm->bkgnm", c.b, wide(weighted), c.gate)))
	own = Reshape(own, d.Batch, c.chunks, d.Heads, d.State, d.HeadDim)
	entering, end := chunking.Prefix(c.total, own, TransposeAllAxes(op.initial(c), 0, 1, 3, 2))
	entering = swap(Reshape(entering, d.Batch, c.chunks, d.Groups, r, d.State, d.HeadDim))
	c.turned, c.entering, c.last = entering, TransposeAllAxes(entering, 0, 1, 2, 4, 5, 3), TransposeAllAxes(end, 0, 1, 3, 2)
	read := apart(chunking.Product("bkgin,bkgnm->bkgim", c.c, wide(ConvertDType(entering, c.c.DType())), c.gate))

	scores := chunking.Product("bkgin,bkgjn->bkgij", c.c, c.b, c.gate)
	mixed := ConvertDType(Mul(InsertAxes(scores, 3), c.decay), c.x.DType())
	y = swap(chunking.Product("bkgrij,bkgrjp->bkgrip", mixed, swap(c.x), c.gate))
	y = Add(y, Mul(read, perHead(c.enter)))
	y = Reshape(TransposeAllAxes(y, 0, 1, 3, 2, 4, 5), d.Batch, c.chunks*q, d.Heads, d.HeadDim)
	return SliceAxis(y, 1, AxisRange(0, d.Tokens)), c
}
