package mamba2

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// project is W_in u: z | x | B | C (| dt in the same product when all is one dtype) and its parts z and x | B | C, and dt in the
// gates' dtype.
func (b *block) project(l layerOf, u *Node) (proj, z, raw, dt *Node) {
	c := b.Config
	inner, wide := c.Inner(), c.Inner()+c.Channels()
	part := func(from, to int) *Node { return SliceAxis(proj, -1, AxisRange(from, to)) }
	if b.compute == b.gate {
		proj = b.keep(l, "proj", b.inBias(l, b.linear(u, l.params[inWeight], b.gate), 0, c.projection()))
		return proj, part(0, inner), part(inner, wide), part(wide, c.projection())
	}
	u = ConvertDType(u, b.compute)
	proj = b.columns(l, u, 0, wide, b.compute)
	return proj, part(0, inner), part(inner, wide), b.columns(l, u, wide, c.projection(), b.gate)
}

// columns are some of those of W_in u, as a product of their own.
func (b *block) columns(l layerOf, u *Node, from, to int, out dtypes.DType) *Node {
	return b.keep(l, "proj", b.inBias(l, b.linear(u, SliceAxis(l.params[inWeight], 1, AxisRange(from, to)), out), from, to))
}

// inBias adds the bias of some columns, if there is one.
func (b *block) inBias(l layerOf, y *Node, from, to int) *Node {
	if !b.UseBias {
		return y
	}
	return Add(y, ConvertDType(SliceAxis(b.perRow(l.params[inBias], 1), -1, AxisRange(from, to)), y.DType()))
}
