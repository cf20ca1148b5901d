package chunking

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// RunningSum is the inclusive sum over the last axis as one product in float64, far sooner than shifted additions. Differences of
// distant sums lose nothing that float32 would keep.
func RunningSum(x *Node) *Node {
	n := x.Shape().Dim(-1)
	square := shapes.Make(dtypes.Int32, n, n)
	upTo := ConvertDType(LessOrEqual(Iota(x.Graph(), square, 0), Iota(x.Graph(), square, 1)), dtypes.Float64)
	flat := Einsum("zi,ij->zj", Reshape(ConvertDType(x, dtypes.Float64), -1, n), upTo)
	return Reshape(flat, x.Shape().Dimensions...)
}
