package recurrence

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// Past are the last r tokens before a call of [Window], oldest first, zeros before the start of the sequence.
type Past struct {
	Write    *Node // [batch, r, heads, headDim]: Δ x
	LogAlpha *Node // [batch, r, heads]
	B        *Node // [batch, r, groups, state], in the dtype of LogAlpha as Write
}

// Windowed is the recurrence over a sliding window (arXiv 2410.07145, method 3): of every token only what the last r
// tokens wrote counts,
//
//	h_t = Σ_{i>t−r} s(i,t) Δ_i x_i B_iᵀ = H_t − s(t−r,t) H_{t−r},   s(i,t) = Π α over i+1…t
//
// with H the state without a window.
type Windowed struct {
	Y    *Node // [batch, tokens, heads, headDim] without D x
	d    Dims
	r, q int
	all  Past  // the past and the own tokens, [batch, r + tokens, …]
	c    *Node // [batch, tokens, groups, state]
}

// Window computes a call in the banded form: blocks of queries against the r tokens before each, products only, nothing
// is subtracted and no state is formed. Initial and Segments must be nil.
func Window(op Operands, past Past) Windowed {
	d := dimsOf(op)
	if op.Initial != nil || op.Segments != nil {
		panic(fmt.Errorf("recurrence: a sliding window takes its past instead of an initial state, and no segments"))
	}
	r := past.LogAlpha.Shape().Dim(1)
	w := Windowed{d: d, r: r, q: max(1, min(d.Tokens, max(r, 64))), c: op.C}
	write := op.Write
	if write == nil {
		write = op.Delta
	}
	gate := op.Delta.DType()
	dx := Mul(ConvertDType(op.X, gate), InsertAxes(write, -1))
	join := func(before, own *Node) *Node { return Concatenate([]*Node{before, ConvertDType(own, gate)}, 1) }
	w.all = Past{join(past.Write, dx), join(past.LogAlpha, op.LogAlpha), join(past.B, op.B)}

	b := w.banded(w.all)
	x, keys := ConvertDType(b.x, op.X.DType()), ConvertDType(b.b, op.B.DType())
	queries := w.queries(op.C)
	scores := chunking.Product("bkgin,bkgjn->bkgij", queries, keys, gate)
	mixed := Mul(InsertAxes(scores, 3), b.decay)
	y := chunking.Product("bkgrij,bkgjrp->bkgrip", ConvertDType(mixed, x.DType()), x, gate)
	y = TransposeAllAxes(y, 0, 1, 4, 2, 3, 5)
	blocks := y.Shape().Dim(1)
	w.Y = SliceAxis(Reshape(y, d.Batch, blocks*w.q, d.Heads, d.HeadDim), 1, AxisRange(0, d.Tokens))
	return w
}

// band are blocks of q queries and the r + q tokens that they may see. Axes as in chunked.
type band struct {
	x, b  *Node // [b,k,g,j,r,p], [b,k,g,j,n]
	decay *Node // [b,k,g,r,i,j], 0 outside the window
}

func (w Windowed) banded(all Past) band {
	d, blocks, wide := w.d, (w.d.Tokens+w.q-1)/w.q, w.r+w.q
	heads := d.Heads / d.Groups
	overlap := func(x *Node) *Node { // [b, r+tokens, …] -> [b, blocks, r+q, …]
		x = chunking.PadTokens(x, w.r+blocks*w.q)
		var parts []*Node
		for k := range blocks {
			parts = append(parts, InsertAxes(SliceAxis(x, 1, AxisRange(k*w.q, k*w.q+wide)), 1))
		}
		if blocks == 1 {
			return parts[0]
		}
		return Concatenate(parts, 1)
	}
	x := Reshape(overlap(all.Write), d.Batch, blocks, wide, d.Groups, heads, d.HeadDim)
	b := band{x: TransposeAllAxes(x, 0, 1, 3, 2, 4, 5), b: TransposeAllAxes(overlap(all.B), 0, 1, 3, 2, 4)}
	la := TransposeAllAxes(Reshape(overlap(all.LogAlpha), d.Batch, blocks, wide, d.Groups, heads), 0, 1, 3, 4, 2)
	hi, lo := xla.RunningSumPair(la)
	own := func(x *Node) *Node { return InsertAxes(SliceAxis(x, -1, AxisRange(w.r, wide)), -1) }
	sums := Add(Sub(own(hi), InsertAxes(hi, -2)), Sub(own(lo), InsertAxes(lo, -2))) // [b,k,g,r,i,j]
	g, square := la.Graph(), shapes.Make(dtypes.Int32, sums.Shape().Dimensions...)
	age := Sub(AddScalar(Iota(g, square, 4), w.r), Iota(g, square, 5)) // tokens between key and query
	seen := LogicalAnd(GreaterOrEqual(age, ScalarZero(g, dtypes.Int32)), LessThan(age, Scalar(g, dtypes.Int32, w.r)))
	b.decay = Exp(Where(seen, sums, MulScalar(OnesLike(sums), chunking.Cut)))
	return b
}

func (w Windowed) queries(c *Node) *Node {
	blocks := (w.d.Tokens + w.q - 1) / w.q
	c = Reshape(chunking.PadTokens(c, blocks*w.q), w.d.Batch, blocks, w.q, w.d.Groups, w.d.State)
	return TransposeAllAxes(c, 0, 1, 3, 2, 4)
}

// Moments are those of [Result.Moments] for the windowed states, float64 [batch, tokens, heads].
func (w Windowed) Moments() (sum, squares *Node) {
	to := func(x *Node) *Node { return ConvertDType(x, dtypes.Float64) }
	b := w.banded(Past{to(w.all.Write), to(w.all.LogAlpha), to(w.all.B)})
	gram := Mul(Einsum("bkgirp,bkgjrp->bkgrij", b.x, b.x), InsertAxes(Einsum("bkgin,bkgjn->bkgij", b.b, b.b), 3))
	squares = ReduceSum(Mul(Einsum("bkgril,bkgrlj->bkgrij", b.decay, gram), b.decay), -1)
	sumX := TransposeAllAxes(ReduceSum(b.x, -1), 0, 1, 2, 4, 3) // [b,k,g,r,j]
	writes := Mul(sumX, InsertAxes(ReduceSum(b.b, -1), 3))
	sum = ReduceSum(Mul(b.decay, InsertAxes(writes, -2)), -1)
	tokens := func(x *Node) *Node { // [b,k,g,r,i] -> [batch, tokens, heads]
		x = TransposeAllAxes(x, 0, 1, 4, 2, 3)
		x = Reshape(x, w.d.Batch, x.Shape().Dim(1)*w.q, w.d.Heads)
		return SliceAxis(x, 1, AxisRange(0, w.d.Tokens))
	}
	return tokens(sum), tokens(MaxScalar(squares, 0))
}

// rows are r tokens that end with each of ends (int32 [n]): [batch, n, r, …].
func (w Windowed) rows(x, ends *Node) *Node {
	n, dims := ends.Shape().Dim(0), x.Shape().Dimensions
	shape := shapes.Make(dtypes.Int32, dims[0], n, w.r)
	g := x.Graph()
	at := Add(AddScalar(Iota(g, shape, 2), 1), Reshape(ends, 1, n, 1))
	at = Add(at, MulScalar(Iota(g, shape, 0), dims[1]))
	flat := Reshape(x, append([]int{dims[0] * dims[1]}, dims[2:]...)...)
	return Gather(flat, InsertAxes(at, -1))
}

// StatesAt returns the windowed h after the tokens at positions (int32 [n]): [n, batch, heads, headDim, state].
func (w Windowed) StatesAt(ends *Node) *Node {
	d, n := w.d, ends.Shape().Dim(0)
	la := TransposeAllAxes(w.rows(w.all.LogAlpha, ends), 0, 1, 3, 2) // [b,n,h,r]
	hi, lo := xla.RunningSumPair(la)
	last := func(x *Node) *Node { return SliceAxis(x, -1, AxisRangeToEnd(w.r-1)) }
	left := Exp(Add(Sub(last(hi), hi), Sub(last(lo), lo)))
	x := Mul(w.rows(w.all.Write, ends), InsertAxes(TransposeAllAxes(left, 0, 1, 3, 2), -1)) // [b,n,r,h,p]
	x = Reshape(x, d.Batch, n, w.r, d.Groups, d.Heads/d.Groups, d.HeadDim)
	h := Einsum("bzjgrp,bzjgn->zbgrpn", x, w.rows(w.all.B, ends))
	return Reshape(h, n, d.Batch, d.Heads, d.HeadDim, d.State)
}

// PastAfter are the last r tokens up to end (int32 [1]).
func (w Windowed) PastAfter(end *Node) Past {
	one := func(x *Node) *Node { return Squeeze(w.rows(x, end), 1) }
	return Past{one(w.all.Write), one(w.all.LogAlpha), one(w.all.B)}
}

// Delayed is what [WindowStep] carries beside the past. Time is cut into blocks of r tokens; states start again at their
// block's first token, so that what is subtracted is never larger than what two blocks wrote.
type Delayed struct {
	Since *Node // [batch, heads, headDim, state]: written since the block before the current one began
	Block *Node // since the current block began
	Gone  *Node // Since as it was r tokens ago
	Phase *Node // [batch, 1]: tokens of the current block, in the dtype of the states
}

// WindowStep is one token by state difference: operands as for [Step], write is Δ x [batch, heads, headDim].
func WindowStep(write, logAlpha, b, c *Node, past Past, s Delayed) (y, state *Node, pastAfter Past, after Delayed) {
	d := s.Since.Shape().Dimensions
	b = ConvertDType(b, s.Since.DType())
	perHead := func(v *Node) *Node { // [b,g,n] -> [b,h,1,n]
		g := v.Shape().Dim(1)
		v = Mul(InsertAxes(v, 2), Ones(v.Graph(), shapes.Make(v.DType(), d[0], g, d[1]/g, d[3])))
		return Reshape(v, d[0], d[1], 1, d[3])
	}
	advance := func(h, write, logAlpha, b *Node) *Node {
		written := Mul(InsertAxes(write, -1), perHead(b))
		return Add(h, Add(Mul(h, InsertAxes(Expm1(logAlpha), -1, -1)), written))
	}
	oldest := func(x *Node) *Node { return Squeeze(SliceAxis(x, 1, AxisElem(0)), 1) }
	push := func(x, own *Node) *Node {
		return Concatenate([]*Node{SliceAxis(x, 1, AxisRangeToEnd(1)), InsertAxes(own, 1)}, 1)
	}
	pastAfter = Past{push(past.Write, write), push(past.LogAlpha, logAlpha), push(past.B, b)}
	since, block := advance(s.Since, write, logAlpha, b), advance(s.Block, write, logAlpha, b)
	gone := advance(s.Gone, oldest(past.Write), oldest(past.LogAlpha), oldest(past.B))
	left := Exp(ReduceSum(pastAfter.LogAlpha, 1)) // s(t−r, t), summed anew for every token
	state = Sub(since, Mul(gone, InsertAxes(left, -1, -1)))
	y = ReduceSum(Mul(state, perHead(ConvertDType(c, state.DType()))), -1)

	phase := AddScalar(s.Phase, 1)
	r := Scalar(phase.Graph(), phase.DType(), past.LogAlpha.Shape().Dim(1))
	full := ConvertDType(GreaterOrEqual(phase, r), phase.DType()) // [batch, 1]
	open := OneMinus(full)
	wide := func(x *Node) *Node { return InsertAxes(x, -1, -1) }
	return y, state, pastAfter, Delayed{
		Since: Add(Mul(since, wide(open)), Mul(block, wide(full))),
		Block: Mul(block, wide(open)), Gone: Mul(gone, wide(open)), Phase: Mul(phase, open),
	}
}
