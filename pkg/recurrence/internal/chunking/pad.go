// Package chunking is what chunked operators share: products with sums of a wider dtype, padding, and the states between chunks.
package chunking

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Cut stands for log 0: its exponential is 0 in every dtype and sums of a chunk of it stay finite.
const Cut = -1e30

// PerRow gives a parameter of so many axes one for the batch in front, unless it has it: [batch or 1, …].
func PerRow(x *Node, axes int) *Node {
	if x.Rank() == axes {
		return InsertAxes(x, 0)
	}
	return x
}

// PadTokens appends zeros on axis 1: a token of zeros neither decays nor writes.
func PadTokens(x *Node, tokens int) *Node {
	dims := append([]int{}, x.Shape().Dimensions...)
	if dims[1] == tokens {
		return x
	}
	dims[1] = tokens - dims[1]
	return Concatenate([]*Node{x, Zeros(x.Graph(), shapes.Make(x.DType(), dims...))}, 1)
}

// PadEdge repeats the last token of [batch, tokens].
func PadEdge(x *Node, tokens int) *Node {
	b, t := x.Shape().Dim(0), x.Shape().Dim(1)
	if t == tokens {
		return x
	}
	last := SliceAxis(x, 1, AxisRangeToEnd(t-1))
	return Concatenate([]*Node{x, BroadcastToShape(last, shapes.Make(x.DType(), b, tokens-t))}, 1)
}
