package recurrence

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Moments returns the sum and the sum of squares of the entries of h_t for every token, [batch, tokens, heads] each,
// without forming any h_t. With u_j = Δ_j x_j B_jᵀ and w_tj = Π α over j+1…t:
//
//	Σ h_t   = Σ_j w_tj (Σ_p Δx_j)(Σ_n B_j) + w_t Σ h_in
//	‖h_t‖²  = Σ_j w²_tj c_j + w²_t ‖h_in‖²,   c_j = ‖u_j‖² + 2⟨α_j h_{j−1}, u_j⟩
//
// where ⟨α_j h_{j−1}, u_j⟩ = Σ_{i<j} w_ji (x_i·x_j)(B_i·B_j) + w_j x_jᵀ h_in B_j needs Gram matrices only.
func (r Result) Moments() (sum, squares *Node) {
	c := r.c
	x, b := ConvertDType(c.x, c.gate), ConvertDType(c.b, c.gate)
	gramX := TransposeAllAxes(Einsum("bkgirp,bkgjrp->bkgrij", x, x), 0, 1, 2, 3, 4, 5)
	gramB := Einsum("bkgin,bkgjn->bkgij", b, b)
	gram := Mul(gramX, InsertAxes(gramB, 3)) // [b,k,g,r,i,j] = ⟨u_i, u_j⟩
	eye := diagonal(gram, c.q)
	own := ReduceSum(Where(eye, gram, ZerosLike(gram)), -1) // ‖u_j‖²
	earlier := ReduceSum(Where(eye, ZerosLike(gram), Mul(gram, c.decay)), -1)
	fromState := ReduceSum(Mul(x, readWith(c, b)), -1) // [b,k,g,j,r]
	change := Add(own, MulScalar(Add(earlier, TransposeAllAxes(fromState, 0, 1, 2, 4, 3)), 2))

	sumIn := InsertAxes(ReduceSum(c.entering, -1, -2), -1)             // [b,k,g,r,1]
	squaresIn := InsertAxes(ReduceSum(Square(c.entering), -1, -2), -1) // [b,k,g,r,1]
	sumX := TransposeAllAxes(ReduceSum(x, -1), 0, 1, 2, 4, 3)          // [b,k,g,r,j]
	write := Mul(sumX, InsertAxes(ReduceSum(b, -1), 3))
	over := func(w, v *Node) *Node { return ReduceSum(Mul(w, InsertAxes(v, -2)), -1) } // Σ_j w_ij v_j
	sum = Add(over(c.decay, write), Mul(c.enter, sumIn))
	squares = Add(over(Square(c.decay), change), Mul(Square(c.enter), squaresIn))
	return c.perToken(sum), c.perToken(squares)
}

func readWith(c *chunked, key *Node) *Node {
	read := Einsum("bkgin,bkgrpn->bkgirp", key, c.entering)
	return Mul(read, InsertAxes(TransposeAllAxes(c.enter, 0, 1, 2, 4, 3), -1))
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

// StatesAt returns h after the tokens at positions (int32 [n], the same for every batch row): [n, batch, heads, headDim, state].
func (r Result) StatesAt(positions *Node) *Node {
	c, d := r.c, r.c.dims
	n := positions.Shape().Dim(0)
	q := Scalar(positions.Graph(), dtypes.Int32, c.q)
	chunk := InsertAxes(Div(positions, q), -1)
	token := Sub(positions, Mul(Div(positions, q), q))
	rows := func(x *Node) *Node { // chunk axis first, then the chunks asked for
		perm := []int{1, 0}
		for i := 2; i < x.Rank(); i++ {
			perm = append(perm, i)
		}
		return Gather(TransposeAllAxes(x, perm...), chunk)
	}
	pick := func(x *Node, axis int) *Node { // keep the wanted token of the axis by selection, exact
		shape := make([]int, x.Rank())
		for i := range shape {
			shape[i] = 1
		}
		shape[0], shape[axis] = n, c.q
		here := Equal(BroadcastToDims(InsertAxes(token, -1), n, c.q), Iota(x.Graph(), shapes.Make(dtypes.Int32, n, c.q), 1))
		here = BroadcastToShape(Reshape(here, shape...), shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
		return ReduceSum(Where(here, x, ZerosLike(x)), axis)
	}
	decay := pick(rows(c.decay), 4) // [n,b,g,r,j]
	enter := pick(rows(c.enter), 4) // [n,b,g,r]
	x := Mul(ConvertDType(rows(c.x), c.gate), InsertAxes(TransposeAllAxes(decay, 0, 1, 2, 4, 3), -1))
	own := Einsum("zbgjrp,zbgjn->zbgrpn", x, ConvertDType(rows(c.b), c.gate))
	state := Add(own, Mul(rows(c.entering), InsertAxes(enter, -1, -1)))
	return Reshape(state, n, d.Batch, d.Heads, d.HeadDim, d.State)
}
