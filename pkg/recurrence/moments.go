package recurrence

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Moments returns the sum and the sum of squares of the entries of h_t for every token, float64 [batch, tokens, heads]
// each, without forming any h_t. With u_j = Δ_j x_j B_jᵀ and w_tj = Π α over j+1…t:
//
//	Σ h_t   = Σ_j w_tj (Σ_p Δx_j)(Σ_n B_j) + w_t Σ h_in
//	‖h_t‖²  = Σ_j w²_tj c_j + w²_t ‖h_in‖²,   c_j = ‖u_j‖² + 2⟨α_j h_{j−1}, u_j⟩
//
// where ⟨α_j h_{j−1}, u_j⟩ = Σ_{i<j} w_ji (x_i·x_j)(B_i·B_j) + w_j x_jᵀ h_in B_j needs Gram matrices only. The c_j have
// both signs: where writes undo each other their sum cancels, so gates, products and sums are float64 whatever the
// operands are, and rounding below zero is cut off. The variance may be taken as the difference of the two.
func (r Result) Moments() (sum, squares *Node) {
	c := r.pieces()
	if c.sum == nil {
		c.sum, c.squares = c.moments()
	}
	return c.sum, c.squares
}

func (c *chunked) moments() (sum, squares *Node) {
	w := c.wide()
	s := w.x.Shape().Dimensions
	states := Reshape(w.turned, s[0], s[1], s[2], w.dims.State, s[4]*s[5])
	read := Reshape(Einsum("bkgin,bkgnm->bkgim", w.b, states), s...) // of h_in, by B_i
	byHead := TransposeAllAxes(w.x, 0, 1, 2, 4, 3, 5)                // [b,k,g,r,j,p]
	gramX := Einsum("bkgrip,bkgrjp->bkgrij", byHead, byHead)
	gramB := Einsum("bkgin,bkgjn->bkgij", w.b, w.b)
	gram := Mul(gramX, InsertAxes(gramB, 3)) // [b,k,g,r,i,j] = ⟨u_i, u_j⟩
	weights := Where(diagonal(gram, w.q), OnesLike(gram), MulScalar(w.decay, 2))
	perHead := func(x *Node) *Node { return TransposeAllAxes(x, 0, 1, 2, 4, 3) } // [b,k,g,j,r] -> [b,k,g,r,j]
	fromState := perHead(ReduceSum(Mul(w.x, read), -1))
	change := Add(ReduceSum(Mul(gram, weights), -1), MulScalar(Mul(fromState, w.enter), 2))

	overEntries := func(x *Node) *Node { return InsertAxes(ReduceSum(x, 3, 5), -1) } // [b,k,g,r,1]
	sumIn, squaresIn := overEntries(w.turned), overEntries(Square(w.turned))
	write := Mul(perHead(ReduceSum(w.x, -1)), InsertAxes(ReduceSum(w.b, -1), 3))
	over := func(w, v *Node) *Node { return Einsum("bkgrij,bkgrj->bkgri", w, v) }
	sum = Add(over(w.decay, write), Mul(w.enter, sumIn))
	squares = Add(over(Square(w.decay), change), Mul(Square(w.enter), squaresIn))
	return w.perToken(sum), w.perToken(MaxScalar(squares, 0))
}

// gone is a log α below which nothing is left in float64.
const gone = -800

// wide is what Moments needs of a call, in float64.
func (c *chunked) wide() *chunked {
	to := func(x *Node) *Node { return ConvertDType(x, dtypes.Float64) }
	w := &chunked{dims: c.dims, q: c.q, chunks: c.chunks, gate: dtypes.Float64, x: to(c.x), b: to(c.b)}
	if c.turned != nil {
		w.turned = to(c.turned)
	} else {
		w.turned = TransposeAllAxes(to(c.entering), 0, 1, 2, 5, 3, 4)
	}
	// Running sums by a product: compilers fuse the additions of xla.RunningSum into the pairs of tokens and repeat them for
	// each. They need no second part: exp(gone) is 0, so that a chunk of 64 tokens loses no more than 1e-11.
	g, square := c.x.Graph(), shapes.Make(dtypes.Int32, c.q, c.q)
	upTo := ConvertDType(LessOrEqual(Iota(g, square, 0), Iota(g, square, 1)), dtypes.Float64)
	hi := Einsum("bkgrj,ji->bkgri", MaxScalar(to(c.logAlpha), gone), upTo)
	w.gates(hi, ZerosLike(hi), c.segments)
	return w
}

// perToken turns [b,k,g,r,i] into [batch, tokens, heads].
func (c *chunked) perToken(x *Node) *Node {
	d := c.dims
	x = Reshape(TransposeAllAxes(x, 0, 1, 4, 2, 3), d.Batch, c.chunks*c.q, d.Heads)
	return SliceAxis(x, 1, AxisRange(0, d.Tokens))
}

func diagonal(like *Node, q int) *Node {
	g := like.Graph()
	square := shapes.Make(dtypes.Int32, q, q)
	eye := Equal(Iota(g, square, 0), Iota(g, square, 1))
	return BroadcastToShape(ExpandLeftToRank(eye, like.Rank()), shapes.Make(dtypes.Bool, like.Shape().Dimensions...))
}
