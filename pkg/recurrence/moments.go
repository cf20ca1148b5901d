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
	c := r.pieces().wide()
	gramX := Einsum("bkgirp,bkgjrp->bkgrij", c.x, c.x)
	gramB := Einsum("bkgin,bkgjn->bkgij", c.b, c.b)
	gram := Mul(gramX, InsertAxes(gramB, 3)) // [b,k,g,r,i,j] = ⟨u_i, u_j⟩
	eye := diagonal(gram, c.q)
	weights := Where(eye, OnesLike(gram), MulScalar(c.decay, 2))
	fromState := ReduceSum(Mul(c.x, c.readEntering(c.b)), -1) // [b,k,g,j,r]
	change := Add(ReduceSum(Mul(gram, weights), -1), MulScalar(TransposeAllAxes(fromState, 0, 1, 2, 4, 3), 2))

	sumIn := InsertAxes(ReduceSum(c.entering, -1, -2), -1)             // [b,k,g,r,1]
	squaresIn := InsertAxes(ReduceSum(Square(c.entering), -1, -2), -1) // [b,k,g,r,1]
	sumX := TransposeAllAxes(ReduceSum(c.x, -1), 0, 1, 2, 4, 3)        // [b,k,g,r,j]
	write := Mul(sumX, InsertAxes(ReduceSum(c.b, -1), 3))
	over := func(w, v *Node) *Node { return ReduceSum(Mul(w, InsertAxes(v, -2)), -1) } // Σ_j w_ij v_j
	sum = Add(over(c.decay, write), Mul(c.enter, sumIn))
	squares = Add(over(Square(c.decay), change), Mul(Square(c.enter), squaresIn))
	return c.perToken(sum), c.perToken(MaxScalar(squares, 0))
}

// wide is what Moments needs of a call, in float64.
func (c *chunked) wide() *chunked {
	to := func(x *Node) *Node { return ConvertDType(x, dtypes.Float64) }
	w := &chunked{dims: c.dims, q: c.q, chunks: c.chunks, gate: dtypes.Float64, x: to(c.x), b: to(c.b), entering: to(c.entering)}
	w.gates(to(c.logAlpha), c.segments)
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
