package delta

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// inverse is T = (I + L)⁻¹ for strictly lower triangular L [z, q, q], q a power of two. Its gradient is dL = −Tᵀ dT Tᵀ.
func inverse(lower *Node) *Node {
	var t *Node
	fwd := func(in xla.Nodes) xla.Nodes {
		t = invert(in[0])
		return xla.Nodes{t}
	}
	bwd := func(adjoints xla.Nodes) xla.Nodes {
		if adjoints[0] == nil {
			return xla.Nodes{nil}
		}
		d := Einsum("zji,zjk->zik", t, adjoints[0])
		return xla.Nodes{Neg(Einsum("zik,zjk->zij", d, t))}
	}
	return xla.CustomVJP(fwd, bwd, lower)[0]
}

// invert goes by halves, all blocks of one size at once:
//
//	⎡A  0⎤⁻¹   ⎡    A⁻¹       0 ⎤
//	⎣X  B⎦   = ⎣−B⁻¹ X A⁻¹   B⁻¹⎦
//
// It multiplies true inverses only. The powers of L, whose sum the inverse is too, grow like binomial coefficients where
// keys repeat, as they do in a constant prompt.
func invert(lower *Node) *Node {
	z, q := lower.Shape().Dim(0), lower.Shape().Dim(1)
	if q == 1 {
		return OnesLike(lower)
	}
	first, second := AxisRange(0, q/2), AxisRange(q/2, q)
	halves := invert(Concatenate([]*Node{Slice(lower, AxisRange(), first, first), Slice(lower, AxisRange(), second, second)}, 0))
	a, b := Slice(halves, AxisRange(0, z)), Slice(halves, AxisRange(z, 2*z))
	x := Einsum("zik,zkj->zij", b, Slice(lower, AxisRange(), second, first))
	return assemble(a, Neg(Einsum("zik,zkj->zij", x, a)), b, 1, 2)
}

// assemble joins the blocks a, 0 over x, b along the axes of rows and columns.
func assemble(a, x, b *Node, rows, columns int) *Node {
	top := Concatenate([]*Node{a, ZerosLike(a)}, columns)
	return Concatenate([]*Node{top, Concatenate([]*Node{x, b}, columns)}, rows)
}
