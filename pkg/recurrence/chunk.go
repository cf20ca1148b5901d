package recurrence

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// Operands of one call of [Chunk]. Delta, LogAlpha and Initial are float32 (or float64); X, B and C may be bfloat16,
// which makes the products bfloat16 with float32 sums.
type Operands struct {
	X               *Node // [batch, tokens, heads, headDim]
	Delta, LogAlpha *Node // [batch, tokens, heads]; LogAlpha = Δ·A ≤ 0
	B, C            *Node // [batch, tokens, groups, state]
	Initial         *Node // [batch, heads, headDim, state] or nil for zeros
	Segments        *Node // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial
	Write           *Node // [batch, tokens, heads] or nil: replaces Δ as the strength of the write Δ x Bᵀ
	D               *Node // [models, heads] or nil: Y is y + D x; each model has batch / models rows
	XBC             *Node // [batch, tokens, …] or nil: X, B and C side by side, where they are parts of one array

	ZeroState bool              // no Initial, and Result.State is not asked for: it may be nil
	Keep      func(*Node) *Node // or nil: keeps a value for the backward instead of computing it again
}

// Result of [Chunk].
type Result struct {
	Y     *Node // [batch, tokens, heads, headDim], without D x if there is no D
	State *Node // [batch, heads, headDim, state]
	op    Operands
	q     int
	c     *chunked
	cut   *Operands // of the fused kernels, which may have cut the sequences: dims are theirs
	dims  Dims
}

// chunked holds the pieces of a call, shared by outputs and statistics. Axes: b batch, k chunk, g group, r head in
// its group, i/j token in the chunk, p headDim, n state.
type chunked struct {
	dims           Dims
	q, chunks      int
	gate           dtypes.DType
	x, b, c        *Node // [b,k,g,j,r,p] Δx; [b,k,g,j,n]
	decay          *Node // [b,k,g,r,i,j] Π α over j+1…i, 0 above the diagonal and across segments
	enter          *Node // [b,k,g,r,i] Π α over the chunk's start…i, 0 where the entering state is cut off
	leave          *Node // [b,k,g,r,j] Π α over j+1…end, 0 where it is cut off
	total          *Node // [b,k,h] log of the chunk's whole decay
	entering, last *Node // [b,k,g,r,p,n], [b,h,p,n]
	turned         *Node // entering as [b,k,g,n,r,p], where the form has it so
	sum, squares   *Node // of Moments
	logAlpha       *Node // [b,k,g,r,j]
	segments       *Node // as in Operands
}

// Chunk computes the operator in pieces of q tokens: products inside a piece, a prefix over pieces. It is
// differentiable in every float operand, through the final state too. Tokens need not be a multiple of q.
// With XBC in bfloat16 on an NVIDIA GPU fused kernels do the work, in chunks of their own.
func Chunk(op Operands, q int) Result {
	if d := dimsOf(op); fusable(op, d) {
		f := fused(op, d)
		return Result{Y: ConvertDType(f.y, op.Delta.DType()), State: f.last, op: op, q: q, cut: &f.op, dims: f.dims}
	}
	if !xla.HasKernels(op.X.Graph().Backend()) {
		y, c := tokenMajor(op, q)
		return Result{Y: op.finish(y), State: c.last, op: op, q: q, c: c}
	}
	c := newChunked(op, q)
	d := c.dims
	scores := chunking.Product("bkgin,bkgjn->bkgij", c.c, c.b, c.gate)
	mixed := Mul(InsertAxes(scores, 3), c.decay)
	y := chunking.Product("bkgrij,bkgjrp->bkgrip", ConvertDType(mixed, c.x.DType()), c.x, c.gate)
	y = TransposeAllAxes(y, 0, 1, 2, 4, 3, 5)
	y = Add(y, c.readEntering(c.c))
	y = Reshape(TransposeAllAxes(y, 0, 1, 3, 2, 4, 5), d.Batch, c.chunks*q, d.Heads, d.HeadDim)
	y = SliceAxis(y, 1, AxisRange(0, d.Tokens))
	return Result{Y: op.finish(y), State: c.last, op: op, q: q, c: c}
}

// finish adds D x and keeps the result.
func (op Operands) finish(y *Node) *Node {
	if op.D != nil {
		batch, heads := y.Shape().Dim(0), y.Shape().Dim(2)
		each := BroadcastToDims(InsertAxes(op.D, 1), op.D.Shape().Dim(0), batch/op.D.Shape().Dim(0), heads)
		y = Skip(y, op.X, Reshape(each, batch, 1, heads, 1))
	}
	if op.Keep != nil {
		return op.Keep(y)
	}
	return y
}

// pieces is what statistics are derived from; forms that do without leave it to be made.
func (r Result) pieces() *chunked {
	if r.c == nil {
		return newChunked(r.op, r.q)
	}
	return r.c
}

// readEntering is what key reads from the state that enters the chunk, decayed to each token: [b,k,g,i,r,p].
func (c *chunked) readEntering(key *Node) *Node {
	read := chunking.Product("bkgin,bkgrpn->bkgirp", key, ConvertDType(c.entering, key.DType()), c.gate)
	return Mul(read, InsertAxes(TransposeAllAxes(c.enter, 0, 1, 2, 4, 3), -1))
}

func newChunked(op Operands, q int) *chunked {
	c := cutUp(op, q)
	d := c.dims
	weighted := Mul(ConvertDType(c.x, c.gate), InsertAxes(TransposeAllAxes(c.leave, 0, 1, 2, 4, 3), -1))
	own := chunking.Product("bkgjrp,bkgjn->bkgrpn", ConvertDType(weighted, c.x.DType()), c.b, c.gate)
	states := Reshape(own, d.Batch, c.chunks, d.Heads, d.HeadDim, d.State)
	entering, last := chunking.Prefix(c.total, states, op.initial(c))
	c.entering = Reshape(entering, d.Batch, c.chunks, d.Groups, d.Heads/d.Groups, d.HeadDim, d.State)
	c.last = last
	return c
}

func (op Operands) initial(c *chunked) *Node {
	if op.Initial != nil {
		return op.Initial
	}
	d := c.dims
	return Zeros(op.X.Graph(), shapes.Make(c.gate, d.Batch, d.Heads, d.HeadDim, d.State))
}

// cutUp is what a call needs before states: operands by chunk and gates.
func cutUp(op Operands, q int) *chunked {
	d := dimsOf(op)
	if q < 1 {
		panic(fmt.Errorf("recurrence: chunk length %d must be at least 1", q))
	}
	chunks := max(1, (d.Tokens+q-1)/q)
	c := &chunked{dims: d, q: q, chunks: chunks, gate: op.Delta.DType()}
	r := d.Heads / d.Groups
	pad := func(x *Node) *Node { return chunking.PadTokens(x, chunks*q) }
	perHead := func(x *Node) *Node { // [b,t,h] -> [b,k,g,r,j]
		return TransposeAllAxes(Reshape(pad(x), d.Batch, chunks, q, d.Groups, r), 0, 1, 3, 4, 2)
	}
	write := op.Write
	if write == nil {
		write = op.Delta
	}
	dx := Mul(ConvertDType(op.X, c.gate), InsertAxes(write, -1))
	grouped := func(x *Node, rest ...int) *Node { // [b,t,g,…] -> [b,k,g,j,…]
		x = Reshape(pad(x), append([]int{d.Batch, chunks, q, d.Groups}, rest...)...)
		perm := []int{0, 1, 3, 2, 4, 5}
		return TransposeAllAxes(x, perm[:x.Rank()]...)
	}
	c.x = ConvertDType(grouped(dx, r, d.HeadDim), op.X.DType())
	c.b, c.c = grouped(op.B, d.State), grouped(op.C, d.State)
	c.logAlpha, c.segments = perHead(op.LogAlpha), op.Segments
	hi, lo := xla.RunningSumPair(c.logAlpha)
	c.gates(hi, lo, op.Segments)
	return c
}

// gates fills decay, enter, leave and total from running sums of log α [b,k,g,r,j], each as hi + lo. Masks come before
// exponentials; sums stay inside a chunk and carry their rounding error, so that a strong gate does not blur the weak
// ones after it.
func (c *chunked) gates(hi, lo, segments *Node) {
	g, d := hi.Graph(), c.dims
	diff := func(a, b, aLo, bLo *Node) *Node { return Add(Sub(a, b), Sub(aLo, bLo)) }
	pair := diff(InsertAxes(hi, -1), InsertAxes(hi, -2), InsertAxes(lo, -1), InsertAxes(lo, -2))
	end := func(x *Node) *Node { return SliceAxis(x, -1, AxisRangeToEnd(c.q-1)) } // [b,k,g,r,1]
	enter, leave, total := Add(hi, lo), diff(end(hi), hi, end(lo), lo), Add(end(hi), end(lo))

	// The diagonal is α^0: a constant, whose gradients would cancel in theory only.
	square := shapes.Make(dtypes.Int32, c.q, c.q)
	row, column, off := Iota(g, square, 0), Iota(g, square, 1), shapes.Make(hi.DType(), c.q, c.q)
	apart := Where(Equal(row, column), Zeros(g, off), logZero(g, off))
	mask := ExpandLeftToRank(GreaterThan(row, column), 5)
	if segments != nil {
		seg := Reshape(chunking.PadEdge(segments, c.chunks*c.q), d.Batch, c.chunks, 1, c.q) // [b,k,1,j]
		last := SliceAxis(seg, -1, AxisRangeToEnd(c.q-1))                                   // [b,k,1,1]
		before := Zeros(g, shapes.Make(dtypes.Int32, d.Batch, 1, 1, 1))
		if c.chunks > 1 {
			before = Concatenate([]*Node{before, SliceAxis(last, 1, AxisRange(0, c.chunks-1))}, 1)
		}
		mask = LogicalAnd(mask, Equal(InsertAxes(seg, -1), InsertAxes(seg, -2)))
		enter = keep(Equal(seg, before), enter)
		leave = keep(Equal(seg, last), leave)
		total = keep(Equal(last, before), total)
	}
	pair = keepOr(mask, pair, BroadcastToShape(ExpandLeftToRank(apart, pair.Rank()), pair.Shape()))
	c.decay, c.enter, c.leave = Exp(pair), Exp(enter), Exp(leave)
	c.total = Reshape(total, d.Batch, c.chunks, d.Heads)
}

// keep is x where mask [b,k,1,…] holds and log 0 elsewhere; x is [b,k,g,r,…].
func keep(mask, x *Node) *Node { return keepOr(mask, x, logZero(x.Graph(), x.Shape())) }

func keepOr(mask, x, other *Node) *Node {
	mask = InsertAxes(mask, 2)
	mask = BroadcastToShape(mask, shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
	return Where(mask, x, other)
}

func logZero(g *Graph, s shapes.Shape) *Node {
	return BroadcastToShape(Scalar(g, s.DType, chunking.Cut), s)
}

func dimsOf(op Operands) Dims {
	x, b := op.X.Shape(), op.B.Shape()
	if x.Rank() != 4 || b.Rank() != 4 {
		panic(fmt.Errorf("recurrence: x %s must be [batch, tokens, heads, headDim] and B %s [batch, tokens, groups, state]", x, b))
	}
	d := Dims{x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3), b.Dim(2), b.Dim(3)}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("recurrence: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	check("B", op.B, d.Batch, d.Tokens, d.Groups, d.State)
	check("C", op.C, d.Batch, d.Tokens, d.Groups, d.State)
	check("Delta", op.Delta, d.Batch, d.Tokens, d.Heads)
	check("LogAlpha", op.LogAlpha, d.Batch, d.Tokens, d.Heads)
	check("Write", op.Write, d.Batch, d.Tokens, d.Heads)
	check("Initial", op.Initial, d.Batch, d.Heads, d.HeadDim, d.State)
	check("Segments", op.Segments, d.Batch, d.Tokens)
	if op.D != nil {
		if models := op.D.Shape().Dim(0); d.Batch%models != 0 {
			panic(fmt.Errorf("recurrence: %d models must divide a batch of %d", models, d.Batch))
		}
		check("D", op.D, op.D.Shape().Dim(0), d.Heads)
	}
	if d.Heads%d.Groups != 0 {
		panic(fmt.Errorf("recurrence: %d groups must divide %d heads", d.Groups, d.Heads))
	}
	return d
}
