package recurrence

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// statesAtOnce is how many entries of states EachStateAt forms at a time.
const statesAtOnce = 1 << 23

// EachStateAt applies f, [n, batch, heads, headDim, state] → [n, …], to the states of StatesAt without holding more
// than a few of them: positions are taken in groups, one after the other.
func (r Result) EachStateAt(positions *Node, f func(h *Node) *Node) *Node {
	whole := r.pieces()
	d, n := whole.dims, positions.Shape().Dim(0)
	size := max(1, min(n, statesAtOnce/(d.Batch*d.Heads*d.HeadDim*d.State)))
	if size == n {
		return f(r.StatesAt(positions))
	}
	groups := (n + size - 1) / size
	if pad := groups*size - n; pad > 0 {
		last := SliceAxis(positions, 0, AxisRangeToEnd(n-1))
		positions = Concatenate([]*Node{positions, BroadcastToDims(last, pad)}, 0)
	}
	own := []*Node{whole.x, whole.b, whole.decay, whole.enter, whole.entering}
	_, ys := xla.Scan{N: groups, Infer: true}.Run([]*Node{ScalarZero(positions.Graph(), dtypes.Int32)}, []*Node{Reshape(positions, groups, size)}, own,
		func(_ *xla.Iter, carry, rows, own []*Node) (next, ys []*Node) {
			c := &chunked{dims: d, q: whole.q, chunks: whole.chunks, gate: whole.gate, x: own[0], b: own[1], decay: own[2], enter: own[3], entering: own[4]}
			return carry, []*Node{f(Result{c: c}.StatesAt(rows[0]))}
		})
	dims := ys[0].Shape().Dimensions
	return SliceAxis(Reshape(ys[0], append([]int{groups * size}, dims[2:]...)...), 0, AxisRange(0, n))
}

// EachEnd applies f as EachStateAt does to the states after every so many tokens and after the last, which are those between
// the chunks where every is a multiple of the chunk: then nothing is computed again. It is nil elsewhere.
func (r Result) EachEnd(every int, f func(h *Node) *Node) *Node {
	if every%r.q != 0 || r.op.Segments != nil {
		return nil
	}
	c := r.pieces()
	d, n := c.dims, (r.op.X.Shape().Dim(1)+every-1)/every
	if n*d.Batch*d.Heads*d.HeadDim*d.State > 4*statesAtOnce {
		return nil
	}
	after := InsertAxes(c.last, 1) // [batch, chunks, heads, headDim, state]
	if c.chunks > 1 {
		left := SliceAxis(c.entering, 1, AxisRangeToEnd(1))
		after = Concatenate([]*Node{Reshape(left, d.Batch, c.chunks-1, d.Heads, d.HeadDim, d.State), after}, 1)
	}
	last := SliceAxis(after, 1, AxisRangeToEnd(c.chunks-1))
	if step := every / r.q; n > 1 {
		whole := SliceAxis(after, 1, AxisRange(step-1, (n-1)*step).Stride(step))
		last = Concatenate([]*Node{whole, last}, 1)
	}
	return f(TransposeAllAxes(last, 1, 0, 2, 3, 4))
}

// StatesAt returns h after the tokens at positions (int32 [n], the same for every batch row): [n, batch, heads, headDim, state].
func (r Result) StatesAt(positions *Node) *Node {
	c := r.pieces()
	d := c.dims
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
		here := Equal(InsertAxes(token, -1), Iota(x.Graph(), shapes.Make(dtypes.Int32, n, c.q), 1))
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
