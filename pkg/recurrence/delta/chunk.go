package delta

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// Operands of one call of [Chunk], float32 or float64. Where Erase and K are the same node, as [Rule] makes them, half of
// the work is saved.
type Operands struct {
	Q, K        *Node // [batch, tokens, heads, key]
	V           *Node // [batch, tokens, heads, value]
	LogDecay    *Node // log w ≤ 0: [batch, tokens, heads, key], [batch, tokens, heads], or nil for no decay
	Erase, Read *Node // e and r [batch, tokens, heads, key]
	Initial     *Node // [batch, heads, key, value] or nil for zeros
	Segments    *Node // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial

	Infer     bool // no gradient will be asked for: nothing is kept for it
	Half      bool // float32 operands may be rounded to bfloat16, as kernels on an NVIDIA GPU do with what they multiply
	NoKernels bool // no kernels: their oracle on a GPU

	rule *ruled // of Rule
}

// Result of [Chunk].
type Result struct {
	Y     *Node // [batch, tokens, heads, value]
	State *Node // [batch, heads, key, value]

	c        *chunked
	entering *Node // [z, key, value]
}

// Chunk computes the operator in pieces of q tokens, a power of two. With U the rows that the tokens of a chunk read by r
// from the states before them, and tildes for operands that carry the decay since the chunk's start or up to its end,
//
//	U = (I + L)⁻¹ (R̃ S + L' V)      y = Q̃ S + M' V − M U      S ← diag(w…) S + K̃ᵀ V − Ẽᵀ U
//
// so that the state goes from chunk to chunk by one product, S ← A S + B, with A and B known for all chunks before the loop.
// It is differentiable in every float operand, through the final state too. Tokens need not be a multiple of q. With Half, what [Rule]
// made and what decays per key runs through kernels on an NVIDIA GPU where there are no Segments, in chunks of their own.
func Chunk(op Operands, q int) Result {
	d := dimsOf(op)
	if fusable(op) {
		return fused(op)
	}
	if q < 1 || q&(q-1) != 0 {
		panic(fmt.Errorf("delta: chunk length %d must be a power of two", q))
	}
	for q > base && q/2 >= d.Tokens {
		q /= 2
	}
	c := &chunked{Dims: d, q: q, chunks: max(1, (d.Tokens+q-1)/q), op: op}
	c.prepare()
	entering, last := c.states()
	y := Add(c.own, Einsum("zik,zkv->ziv", c.query, entering))
	y = Reshape(y, c.chunks, d.Batch, d.Heads, q, d.Value)
	y = Reshape(TransposeAllAxes(y, 1, 0, 3, 2, 4), d.Batch, c.chunks*q, d.Heads, d.Value)
	return Result{SliceAxis(y, 1, AxisRange(0, d.Tokens)), last, c, entering}
}

// chunked holds a call cut into chunks; z is chunks, batch and heads in one.
type chunked struct {
	Dims
	q, chunks  int
	op         Operands
	query, own *Node // y = query S + own: [z, q, key], [z, q, value]
	move, add  *Node // S ← move S + add: [z, key, key], [z, key, value]
}

func (c *chunked) prepare() {
	op := c.op
	r, q, e, k, v := c.cut(op.Read), c.cut(op.Q), c.cut(op.Erase), c.cut(op.K), c.cut(op.V)
	join := func(xs ...*Node) *Node {
		for i := range xs {
			xs[i] = InsertAxes(xs[i], 1)
		}
		return Concatenate(xs, 1)
	}
	s := scores{rows: join(r, q), columns: InsertAxes(k, 1)}
	if op.Erase != op.K {
		s.columns = join(e, k)
	}
	total := Ones(v.Graph(), shapes.Make(v.DType(), 1, 1, 1)) // [z, 1, channels]
	if op.LogDecay != nil {
		with, before := runningSums(c.cut(perChannel(op.LogDecay, op.K)))
		s.upTo = sums{join(before.Node, with.Node)}
		s.after = with.each(func(x *Node) *Node { return InsertAxes(x, 1) })
		end := with.each(func(x *Node) *Node { return SliceAxis(x, 1, AxisElem(c.q-1)) })
		r, q, total = Mul(r, before.exp(v.DType())), Mul(q, with.exp(v.DType())), end.exp(v.DType())
		leave := Exp(end.since(with, v.DType()))
		e, k = Mul(e, leave), Mul(k, leave)
	}
	p := s.matrix()
	if op.Segments != nil {
		m := c.segments()
		p = Mul(p, m.same)
		r, q, e, k, total = Mul(r, m.enter), Mul(q, m.enter), Mul(e, m.leave), Mul(k, m.leave), Mul(total, m.through)
	}
	c.solve(p, r, q, e, k, v, total)
}

// solve fills query, own, move and add from scores [z, row, q, column, q] and operands with their decay.
func (c *chunked) solve(p, r, q, e, k, v, total *Node) {
	at := func(row, column int) *Node {
		return Squeeze(SliceAxis(SliceAxis(p, 1, AxisElem(row)), 3, AxisElem(column)), 1, 3)
	}
	keys := p.Shape().Dim(3) - 1 // the column of k; that of e is 0
	dot := Einsum
	t := inverse(at(0, 0))
	readState := dot("zij,zjk->zik", t, r) // U = readState S + readOwn
	c.query = Sub(q, dot("zij,zjk->zik", at(1, 0), readState))
	g, square := v.Graph(), shapes.Make(dtypes.Int32, c.Key, c.Key)
	diagonal := ConvertDType(Equal(Iota(g, square, 0), Iota(g, square, 1)), v.DType())
	c.move = Sub(Mul(InsertAxes(diagonal, 0), total), dot("zjk,zjl->zkl", e, readState))
	if keys == 0 { // V − U = T (V − R̃ S), without the long sums of U where keys repeat
		change := dot("zij,zjv->ziv", t, v)
		c.own, c.add = dot("zij,zjv->ziv", at(1, 0), change), dot("zjk,zjv->zkv", k, change)
		return
	}
	readOwn := dot("zij,zjv->ziv", t, dot("zij,zjv->ziv", at(0, keys), v))
	c.own = Sub(dot("zij,zjv->ziv", at(1, 1), v), dot("zij,zjv->ziv", at(1, 0), readOwn))
	c.add = Sub(dot("zjk,zjv->zkv", k, v), dot("zjk,zjv->zkv", e, readOwn))
}

// states runs over the chunks: the state that enters each [z, key, value], and the last [batch, heads, key, value].
func (c *chunked) states() (entering, last *Node) {
	start := c.op.Initial
	if start == nil {
		start = Zeros(c.add.Graph(), shapes.Make(c.add.DType(), c.Batch, c.Heads, c.Key, c.Value))
	}
	start = Reshape(start, c.Batch*c.Heads, c.Key, c.Value)
	next := func(state, move, add *Node) *Node { return Add(Einsum("zkl,zlv->zkv", move, state), add) }
	whole := []int{c.Batch, c.Heads, c.Key, c.Value}
	if c.chunks == 1 {
		return start, Reshape(next(start, c.move, c.add), whole...)
	}
	byChunk := func(x *Node) *Node {
		return Reshape(x, c.chunks, c.Batch*c.Heads, x.Shape().Dim(1), x.Shape().Dim(2))
	}
	end, all := xla.Scan{N: c.chunks, Infer: c.op.Infer}.Run([]*Node{start}, []*Node{byChunk(c.move), byChunk(c.add)}, nil,
		func(_ *xla.Iter, carry, x, _ []*Node) (states, ys []*Node) {
			return []*Node{next(carry[0], x[0], x[1])}, []*Node{carry[0]}
		})
	return Reshape(all[0], c.chunks*c.Batch*c.Heads, c.Key, c.Value), Reshape(end[0], whole...)
}

// cut makes [z, q, n] of [batch, tokens, heads, n], with zeros, which neither decay nor write, up to whole chunks.
func (c *chunked) cut(x *Node) *Node {
	n := x.Shape().Dim(3)
	if missing := c.chunks*c.q - c.Tokens; missing > 0 {
		x = Concatenate([]*Node{x, Zeros(x.Graph(), shapes.Make(x.DType(), c.Batch, missing, c.Heads, n))}, 1)
	}
	x = TransposeAllAxes(Reshape(x, c.Batch, c.chunks, c.q, c.Heads, n), 1, 0, 3, 2, 4)
	return Reshape(x, c.chunks*c.Batch*c.Heads, c.q, n)
}

// masks say which tokens of packed documents may meet, as numbers 0 and 1.
type masks struct {
	same         *Node // [z, 1, q, 1, q]: two tokens of one document
	enter, leave *Node // [z, q, 1]: a token of the document that the state before the chunk, or after it, belongs to
	through      *Node // [z, 1, 1]: the state before the chunk belongs to the document that the chunk ends with
}

func (c *chunked) segments() masks {
	seg := c.op.Segments
	if missing := c.chunks*c.q - c.Tokens; missing > 0 {
		last := SliceAxis(seg, 1, AxisRangeToEnd(c.Tokens-1))
		seg = Concatenate([]*Node{seg, BroadcastToShape(last, shapes.Make(seg.DType(), c.Batch, missing))}, 1)
	}
	seg = InsertAxes(TransposeAllAxes(Reshape(seg, c.Batch, c.chunks, c.q), 1, 0, 2), 2) // [chunk, b, 1, q]
	last := SliceAxis(seg, 3, AxisElem(c.q-1))
	before := Zeros(seg.Graph(), shapes.Make(seg.DType(), 1, c.Batch, 1, 1))
	if c.chunks > 1 {
		before = Concatenate([]*Node{before, SliceAxis(last, 0, AxisRange(0, c.chunks-1))}, 0)
	}
	perHead := func(equal *Node, dims ...int) *Node {
		wide := append([]int{}, equal.Shape().Dimensions...)
		wide[2] = c.Heads
		x := BroadcastToDims(ConvertDType(equal, c.op.V.DType()), wide...)
		return Reshape(x, append([]int{c.chunks * c.Batch * c.Heads}, dims...)...)
	}
	return masks{
		same:    perHead(Equal(InsertAxes(seg, -1), InsertAxes(seg, -2)), 1, c.q, 1, c.q),
		enter:   perHead(Equal(seg, before), c.q, 1),
		leave:   perHead(Equal(seg, last), c.q, 1),
		through: perHead(Equal(last, before), 1, 1),
	}
}

func dimsOf(op Operands) Dims {
	q, v := op.Q.Shape(), op.V.Shape()
	if q.Rank() != 4 || v.Rank() != 4 {
		panic(fmt.Errorf("delta: q %s must be [batch, tokens, heads, key] and v %s [batch, tokens, heads, value]", q, v))
	}
	d := Dims{q.Dim(0), q.Dim(1), q.Dim(2), q.Dim(3), v.Dim(3)}
	if d.Tokens < 1 {
		panic(fmt.Errorf("delta: %d tokens, must be at least 1", d.Tokens))
	}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("delta: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	for name, n := range map[string]*Node{"K": op.K, "Erase": op.Erase, "Read": op.Read} {
		check(name, n, d.Batch, d.Tokens, d.Heads, d.Key)
	}
	check("V", op.V, d.Batch, d.Tokens, d.Heads, d.Value)
	check("Initial", op.Initial, d.Batch, d.Heads, d.Key, d.Value)
	check("Segments", op.Segments, d.Batch, d.Tokens)
	if op.LogDecay != nil && op.LogDecay.Rank() == 4 {
		check("LogDecay", op.LogDecay, d.Batch, d.Tokens, d.Heads, d.Key)
	} else {
		check("LogDecay", op.LogDecay, d.Batch, d.Tokens, d.Heads)
	}
	return d
}
