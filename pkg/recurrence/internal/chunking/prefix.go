package chunking

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// group is the longest run of chunks combined by one product; longer sequences combine groups of groups.
const group = 16

// Prefix combines chunks: total [b,k,h] is the log decay of each, own [b,k,h,p,n] what each writes, initial [b,h,p,n].
// It returns the state that enters each chunk [b,k,h,p,n] and the last state [b,h,p,n].
func Prefix(total, own, initial *Node) (entering, last *Node) {
	g, k := total.Graph(), total.Shape().Dim(1)
	dims := own.Shape().Dimensions
	if k == 1 {
		decayed := Mul(initial, InsertAxes(Exp(Squeeze(total, 1)), -1, -1))
		return InsertAxes(initial, 1), Add(decayed, Squeeze(own, 1))
	}
	if k <= group {
		sources := Concatenate([]*Node{InsertAxes(initial, 1), own}, 1) // [b,k+1,h,p,n]
		all := Product("bhij,bjhpn->bihpn", boundaryDecay(total), sources, own.DType())
		return SliceAxis(all, 1, AxisRange(0, k)), Squeeze(SliceAxis(all, 1, AxisElem(k)), 1)
	}
	groups := (k + group - 1) / group
	total, own = PadTokens(total, groups*group), PadTokens(own, groups*group)
	b, h := dims[0], dims[2]
	inGroups := func(x *Node) *Node {
		return Reshape(x, append([]int{b * groups, group}, x.Shape().Dimensions[2:]...)...)
	}
	t := inGroups(total) // [b·groups, group, h]
	none := Zeros(g, shapes.Make(own.DType(), b*groups, h, dims[3], dims[4]))
	inside, written := Prefix(t, inGroups(own), none)
	before := TransposeAllAxes(exclusive(TransposeAllAxes(t, 0, 2, 1)), 0, 2, 1) // decay from the group's start
	groupEntering, last := Prefix(Reshape(ReduceSum(t, 1), b, groups, h),
		Reshape(written, b, groups, h, dims[3], dims[4]), initial)
	carried := Mul(InsertAxes(groupEntering, 2), InsertAxes(Exp(Reshape(before, b, groups, group, h)), -1, -1))
	entering = Add(Reshape(inside, b, groups, group, h, dims[3], dims[4]), carried)
	entering = Reshape(entering, b, groups*group, h, dims[3], dims[4])
	return SliceAxis(entering, 1, AxisRange(0, k)), last
}

// exclusive is the sum of the entries before each on the last axis.
func exclusive(x *Node) *Node {
	return xla.RunningSum(ShiftWithScalar(x, -1, ShiftDirRight, 1, 0))
}

// boundaryDecay is the decay from boundary j to boundary i ≥ j, [b,h,k+1,k+1] for total [b,k,h]: each entry is a sum
// of its own terms, never a difference of longer sums.
func boundaryDecay(total *Node) *Node {
	g, b, k, h := total.Graph(), total.Shape().Dim(0), total.Shape().Dim(1), total.Shape().Dim(2)
	steps := TransposeAllAxes(total, 0, 2, 1)                                             // [b,h,k]
	steps = Concatenate([]*Node{Zeros(g, shapes.Make(total.DType(), b, h, 1)), steps}, 2) // step i leads to boundary i
	full := shapes.Make(total.DType(), b, h, k+1, k+1)                                    // [.., j, i]
	rows := BroadcastToShape(InsertAxes(steps, 2), full)                                  // step i in every row j
	after := Iota(g, shapes.Make(dtypes.Int32, k+1, k+1), 1)                              // i
	from := Iota(g, shapes.Make(dtypes.Int32, k+1, k+1), 0)                               // j
	later := BroadcastToShape(ExpandLeftToRank(GreaterThan(after, from), 4), shapes.Make(dtypes.Bool, full.Dimensions...))
	reach := BroadcastToShape(ExpandLeftToRank(GreaterOrEqual(after, from), 4), shapes.Make(dtypes.Bool, full.Dimensions...))
	sums := xla.RunningSum(Where(later, rows, ZerosLike(rows)))
	decay := Exp(Where(reach, sums, BroadcastToShape(Scalar(g, total.DType(), Cut), full)))
	return TransposeAllAxes(decay, 0, 1, 3, 2)
}
