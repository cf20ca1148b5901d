package xla

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// RunningSum is the inclusive sum over the last axis by log2(n) shifted additions: exact in the dtype, differentiable.
func RunningSum(x *Node) *Node {
	for s := 1; s < x.Shape().Dim(-1); s *= 2 {
		x = Add(x, ShiftWithScalar(x, -1, ShiftDirRight, s, 0))
	}
	return x
}

// RunningSumPair is RunningSum with the rounding error of every partial sum carried along (Knuth's two-sum):
// hi + lo is the sum to about twice the precision, so that differences of distant sums stay exact
// however large the sums are. lo carries no gradient; hi carries all of it.
func RunningSumPair(x *Node) (hi, lo *Node) {
	hi, lo = x, ZerosLike(x)
	for s := 1; s < x.Shape().Dim(-1); s *= 2 {
		a, b := hi, ShiftWithScalar(hi, -1, ShiftDirRight, s, 0)
		sum := Add(a, b)
		bb := Sub(sum, a)
		e := Add(Sub(a, Sub(sum, bb)), Sub(b, bb))
		lo = Add(Add(lo, ShiftWithScalar(lo, -1, ShiftDirRight, s, 0)), StopGradient(e))
		hi = sum
	}
	return hi, StopGradient(lo)
}
