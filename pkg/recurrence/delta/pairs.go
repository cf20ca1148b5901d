package delta

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// sums are running sums of log w inside a chunk: [z, q, 1] for a decay per head, [z, q, key] per channel. All differences taken
// of them are of a later and an earlier sum, so that no exponential exceeds 1. They are float64, and so is their gradient: what
// a pair of tokens gives to the sums at both its ends cancels in the gradient of the decays outside of it.
type sums struct{ *Node }

// runningSums of log w [z, q, channels]: up to and with each token, and up to the token before.
func runningSums(logDecay *Node) (with, before sums) {
	g, square := logDecay.Graph(), shapes.Make(dtypes.Int32, logDecay.Shape().Dim(1), logDecay.Shape().Dim(1))
	upTo := ConvertDType(LessOrEqual(Iota(g, square, 1), Iota(g, square, 0)), dtypes.Float64)
	all := Einsum("ij,zjk->zik", upTo, ConvertDType(logDecay, dtypes.Float64)) // far sooner on a CPU than shifted additions
	return sums{all}, sums{ShiftWithScalar(all, 1, ShiftDirRight, 1, 0)}
}

func (s sums) each(f func(x *Node) *Node) sums { return sums{f(s.Node)} }

// since is s − earlier in the dtype of the operands.
func (s sums) since(earlier sums, dtype dtypes.DType) *Node {
	return ConvertDType(Sub(s.Node, earlier.Node), dtype)
}

func (s sums) exp(dtype dtypes.DType) *Node { return Exp(ConvertDType(s.Node, dtype)) }

// scores are what the rows r and q read of what the columns e and k have written, in a chunk that starts empty:
//
//	Σ_n row_i[n] column_j[n] exp(log w[n] summed over the tokens after j, and up to i for q, to the one before i for r)
//
// over j < i for r, j ≤ i for q, and 0 elsewhere: [z, row, q, column, q].
type scores struct {
	rows    *Node // [z, 2, q, key]: r and q
	columns *Node // [z, 1 or 2, q, key]: e and k, or both in one
	upTo    sums  // [z, 2, q, channels]: of the rows
	after   sums  // [z, 1, q, channels]: of the columns
}

// base is the block of tokens whose pairs are formed one by one where the decay is per channel.
const base = 4

func (s scores) matrix() *Node {
	switch {
	case s.upTo.Node == nil:
		p := Einsum("zrik,zcjk->zricj", s.rows, s.columns)
		return Mul(p, ConvertDType(s.mask(p), p.DType()))
	case s.upTo.Shape().Dim(-1) == 1:
		p := Einsum("zrik,zcjk->zricj", s.rows, s.columns)
		flat := func(x *Node) *Node { return Squeeze(x, -1) }
		row := func(x *Node) *Node { return InsertAxes(flat(x), -1, -1) }   // [z,r,i,1,1]
		column := func(x *Node) *Node { return InsertAxes(flat(x), 1, 1) }  // [z,1,1,1,j]
		gap := s.upTo.each(row).since(s.after.each(column), s.rows.DType()) // [z,r,i,1,j]
		return Mul(p, Exp(Where(s.mask(gap), gap, logZero(gap))))
	}
	return s.byHalves()
}

// byHalves is matrix for a decay per channel, whose exponentials do not come out of the product. Between the halves of a
// block they do: with the end of the first half as the point that both sides are counted from, no factor exceeds 1.
func (s scores) byHalves() *Node {
	q := s.rows.Shape().Dim(2)
	p := s.cut(q / min(q, base)).direct()
	for size := base; size < q; size *= 2 {
		c := s.cut(q / (2 * size))
		first, second := AxisRange(0, size), AxisRange(size, 2*size)
		middle := c.after.each(func(x *Node) *Node { return SliceAxis(x, 2, AxisElem(size-1)) })
		left := c.after.each(func(x *Node) *Node { return SliceAxis(x, 2, first) })
		right := c.upTo.each(func(x *Node) *Node { return SliceAxis(x, 2, second) })
		rows := Mul(SliceAxis(c.rows, 2, second), Exp(right.since(middle, p.DType())))
		columns := Mul(SliceAxis(c.columns, 2, first), Exp(middle.since(left, p.DType())))
		corner := Einsum("zrik,zcjk->zricj", rows, columns)
		halves := Reshape(p, append([]int{corner.Shape().Dim(0), 2}, p.Shape().Dimensions[1:]...)...)
		half := func(i int) *Node { return Squeeze(SliceAxis(halves, 1, AxisElem(i)), 1) }
		p = assemble(half(0), corner, half(1), 2, 4)
	}
	return p
}

// cut makes so many chunks of each.
func (s scores) cut(parts int) scores {
	f := func(x *Node) *Node { // [z, r, parts·q, k] -> [z·parts, r, q, k]
		d := x.Shape().Dimensions
		x = TransposeAllAxes(Reshape(x, d[0], d[1], parts, d[2]/parts, d[3]), 0, 2, 1, 3, 4)
		return Reshape(x, d[0]*parts, d[1], d[2]/parts, d[3])
	}
	return scores{f(s.rows), f(s.columns), s.upTo.each(f), s.after.each(f)}
}

// direct forms every pair of tokens by itself.
func (s scores) direct() *Node {
	row := func(x *Node) *Node { return InsertAxes(x, 3, 3) }           // [z,r,i,1,1,k]
	column := func(x *Node) *Node { return InsertAxes(x, 1, 1) }        // [z,1,1,c,j,k]
	gap := s.upTo.each(row).since(s.after.each(column), s.rows.DType()) // [z,r,i,1,j,k]
	decay := Exp(Where(s.mask(gap), gap, logZero(gap)))
	return ReduceSum(Mul(Mul(row(s.rows), column(s.columns)), decay), -1)
}

// mask is where row i, at axis 2, may see column j, at axis 4, in the shape of like [z, r, i, …, j, …].
func (s scores) mask(like *Node) *Node {
	g, square := like.Graph(), shapes.Make(dtypes.Int32, like.Shape().Dimensions...)
	last := AddScalar(Add(Iota(g, square, 2), Iota(g, square, 1)), -1) // r reads before its token writes, q after
	return LessOrEqual(Iota(g, square, 4), last)
}

// logZero stands for log 0 in the shape of like: its exponential is 0 in every dtype.
func logZero(like *Node) *Node {
	return BroadcastToShape(Scalar(like.Graph(), like.DType(), -1e30), like.Shape())
}
