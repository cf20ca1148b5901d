package logsum

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// Operands of one call of [Chunk]. LogDecay, Bonus and the state are float32 (or float64); K and V may be bfloat16.
type Operands struct {
	K, V     *Node  // [batch, tokens, channels]
	LogDecay *Node  // w [(batch,) channels], negative
	Bonus    *Node  // u [(batch,) channels]
	Initial  *State // or nil for an empty one
	Segments *Node  // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial
	Length   *Node  // int32 scalar or nil: tokens from here on are padding and leave the state alone
	Infer    bool   // no gradient will be asked for
}

// call is one call cut into chunks. Axes: b batch, n chunk, i/j token in its chunk, c channel.
type call struct {
	Dims
	q, chunks   int
	k, v        *Node // [b,n,j,c]
	decay, u    *Node // [b or 1, c]
	i           *Node // [n,i] place in the chunk, as a float
	left        *Node // [n,j] tokens of the chunk after token j, −1 where it is padding
	segments    *Node // [b,n,i] or nil
	entering    State // [b,n,c]
	before, end *Node // segment of the state that enters and of the one that leaves [b,n,1], or nil
}

// Chunk computes the operator in pieces of q tokens: pairs of tokens inside a piece, a loop over pieces for the states
// between them. It returns y [batch, tokens, channels] in the dtype of LogDecay and the last state. It is
// differentiable in every float operand, through the final state too. Tokens need not be a multiple of q.
func Chunk(op Operands, q int) (y *Node, last State) {
	c := cutUp(op, q)
	last = c.pass(op.initial(c.Dims), op.Infer)
	y = Reshape(c.read(), c.Batch, c.chunks*q, c.Channels)
	return SliceAxis(y, 1, AxisRange(0, c.Tokens)), last
}

func cutUp(op Operands, q int) *call {
	if q < 1 {
		panic(fmt.Errorf("logsum: chunk length %d must be at least 1", q))
	}
	g, t := op.K.Graph(), op.LogDecay.DType()
	c := &call{Dims: dimsOf(op), q: q, decay: chunking.PerRow(op.LogDecay, 1), u: chunking.PerRow(ConvertDType(op.Bonus, t), 1)}
	c.chunks = max(1, (c.Tokens+q-1)/q)
	split := func(x *Node) *Node {
		return Reshape(chunking.PadTokens(ConvertDType(x, t), c.chunks*q), c.Batch, c.chunks, q, c.Channels)
	}
	c.k, c.v = split(op.K), split(op.V)
	tokens := Scalar(g, dtypes.Int32, c.Tokens)
	if op.Length != nil {
		tokens = Min(tokens, op.Length)
	}
	grid := shapes.Make(dtypes.Int32, c.chunks, q)
	place := Iota(g, grid, 1)
	inChunk := MinScalar(Sub(tokens, MulScalar(Iota(g, grid, 0), q)), q)
	c.i, c.left = ConvertDType(place, t), ConvertDType(MaxScalar(Sub(AddScalar(inChunk, -1), place), -1), t)
	if op.Segments != nil {
		c.segments = Reshape(chunking.PadEdge(op.Segments, c.chunks*q), c.Batch, c.chunks, q)
		c.end = SliceAxis(c.segments, -1, AxisRangeToEnd(q-1))
		c.before = ShiftWithScalar(c.end, 1, ShiftDirRight, 1, 0)
	}
	return c
}

// pass carries the state over the chunks and keeps what enters each.
func (c *call) pass(first State, infer bool) State {
	tokens := SliceAxis(c.left, 1, AxisElem(0)) // [n,1], one less than the live tokens of the chunk
	weight := Add(c.k, c.times(c.left))         // [b,n,j,c]
	weight = keep(BroadcastToDims(Reshape(GreaterOrEqual(c.left, ZerosLike(c.left)), 1, c.chunks, c.q, 1), weight.Shape().Dimensions...), weight)
	whole := Add(c.times(OnePlus(tokens)), Zeros(c.k.Graph(), shapes.Make(c.k.DType(), c.Batch, c.chunks, 1, c.Channels)))
	if c.segments != nil {
		same := Equal(c.segments, BroadcastToDims(c.end, c.Batch, c.chunks, c.q))
		weight = keep(BroadcastToDims(InsertAxes(same, -1), weight.Shape().Dimensions...), weight)
		whole = keep(BroadcastToDims(InsertAxes(Equal(c.before, c.end), -1), whole.Shape().Dimensions...), whole)
	}
	top := StopGradient(ReduceMax(weight, 2)) // [b,n,c]
	e := Exp(Sub(weight, InsertAxes(top, 2)))
	byChunk := func(x *Node) *Node { return TransposeAllAxes(x, 1, 0, 2) }
	xs := []*Node{byChunk(ReduceSum(Mul(e, c.v), 2)), byChunk(ReduceSum(e, 2)), byChunk(top), byChunk(Squeeze(whole, 2))}
	last, ys := xla.Scan{N: c.chunks, Infer: infer}.Run([]*Node{first.Num, first.Den, first.Max}, xs, nil,
		func(_ *xla.Iter, s, x, _ []*Node) (next, ys []*Node) {
			kept := Add(s[2], x[3])
			top := StopGradient(Max(kept, x[2]))
			a, b := Exp(Sub(kept, top)), Exp(Sub(x[2], top))
			return []*Node{Add(Mul(a, s[0]), Mul(b, x[0])), Add(Mul(a, s[1]), Mul(b, x[1])), top}, s
		})
	c.entering = State{byChunk(ys[0]), byChunk(ys[1]), byChunk(ys[2])}
	return State{last[0], last[1], last[2]}
}

// read is y [b,n,i,c] from the entering state, the tokens before in the chunk, and the token itself.
func (c *call) read() *Node {
	row := func(x *Node) *Node { return InsertAxes(x, 2) } // [b,n,c] -> [b,n,1,c]
	dims := []int{c.Batch, c.chunks, c.q, c.Channels}
	state := Add(row(c.entering.Max), c.times(c.i))
	own := Add(c.k, InsertAxes(c.u, 1, 1))
	square := shapes.Make(c.k.DType(), c.q, c.q)
	apart := AddScalar(Sub(Iota(c.k.Graph(), square, 0), Iota(c.k.Graph(), square, 1)), -1) // i − 1 − j
	pairDims := []int{c.Batch, c.chunks, c.q, c.q, c.Channels}
	pairs := Add(InsertAxes(c.k, 2), Mul(InsertAxes(apart, 0, 0, -1), InsertAxes(c.decay, 1, 1, 1)))
	pairs = keep(BroadcastToDims(InsertAxes(GreaterOrEqual(apart, ZerosLike(apart)), 0, 0, -1), pairDims...), pairs)
	if c.segments != nil {
		three := []int{c.Batch, c.chunks, c.q}
		state = keep(BroadcastToDims(InsertAxes(Equal(c.segments, BroadcastToDims(c.before, three...)), -1), dims...), state)
		from, to := InsertAxes(c.segments, 2), InsertAxes(c.segments, 3)
		four := append(three, c.q)
		same := Equal(BroadcastToDims(from, four...), BroadcastToDims(to, four...))
		pairs = keep(BroadcastToDims(InsertAxes(same, -1), pairDims...), pairs)
	}
	top := StopGradient(Max(Max(state, own), ReduceMax(pairs, 3)))
	state, own, pairs = Exp(Sub(state, top)), Exp(Sub(own, top)), Exp(Sub(pairs, InsertAxes(top, 3)))
	num := Add(Add(Mul(state, row(c.entering.Num)), Mul(own, c.v)), ReduceSum(Mul(pairs, InsertAxes(c.v, 2)), 3))
	den := Add(Add(Mul(state, row(c.entering.Den)), own), ReduceSum(pairs, 3))
	return Div(num, den)
}

// times is count [n,·] times the log decay: [b or 1,n,·,c].
func (c *call) times(count *Node) *Node {
	return Mul(InsertAxes(count, 0, -1), InsertAxes(c.decay, 1, 1))
}

// keep is x where mask holds and log 0 elsewhere.
func keep(mask, x *Node) *Node {
	return Where(mask, x, BroadcastToShape(Scalar(x.Graph(), x.DType(), chunking.Cut), x.Shape()))
}

func (op Operands) initial(d Dims) State {
	if op.Initial != nil {
		return *op.Initial
	}
	return NewState(op.K.Graph(), op.LogDecay.DType(), d.Batch, d.Channels)
}

// live [batch, tokens] is 1 where a token is none of the padding.
func (op Operands) live(d Dims) *Node {
	place := Iota(op.K.Graph(), shapes.Make(dtypes.Int32, d.Batch, d.Tokens), 1)
	return ConvertDType(LessThan(place, op.Length), op.LogDecay.DType())
}

func dimsOf(op Operands) Dims {
	k := op.K.Shape()
	if k.Rank() != 3 {
		panic(fmt.Errorf("logsum: k %s must be [batch, tokens, channels]", k))
	}
	d := Dims{k.Dim(0), k.Dim(1), k.Dim(2)}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("logsum: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	check("V", op.V, d.Batch, d.Tokens, d.Channels)
	for name, p := range map[string]*Node{"LogDecay": op.LogDecay, "Bonus": op.Bonus} {
		if p.Rank() == 2 {
			check(name, p, d.Batch, d.Channels)
		} else {
			check(name, p, d.Channels)
		}
	}
	check("Segments", op.Segments, d.Batch, d.Tokens)
	if op.Initial != nil {
		check("Initial.Num", op.Initial.Num, d.Batch, d.Channels)
		check("Initial.Den", op.Initial.Den, d.Batch, d.Channels)
		check("Initial.Max", op.Initial.Max, d.Batch, d.Channels)
	}
	return d
}
