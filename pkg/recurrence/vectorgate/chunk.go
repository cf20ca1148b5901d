package vectorgate

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// Operands of one call of [Chunk]. LogDecay and Initial are float32 (or float64); Q, K and V may be bfloat16, which makes
// the products bfloat16 with float32 sums.
type Operands struct {
	Q, K     *Node // [batch, tokens, heads, keys]; scale Q before
	V        *Node // [batch, tokens, heads, values]
	LogDecay *Node // [batch, tokens, heads, keys], not positive
	Bonus    *Node // [(batch,) heads, keys] or nil; with it y reads before the write
	Initial  *Node // [batch, heads, keys, values] or nil for zeros
	Segments *Node // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial

	NoKernels bool // no kernels: their oracle on a GPU
}

// block is the number of tokens whose pairs are compared key by key; further apart a reference point between them
// splits e^{B_i − B_j} into two factors, neither above 1.
const block = 16

// call is one call cut into chunks. Axes: b batch, n chunk, h head, k key, v value, i/j token in its chunk.
type call struct {
	Dims
	q, chunks, block int
	gate, half       dtypes.DType // of gates and sums; of operands
	query, key       *Node        // [b,n,h,k,i] in gate
	value            *Node        // [b,n,h,j,v] in half
	read, sum        *Node        // [b,n,h,k,i] float64: log decay from the chunk's start to where token i reads, and to after it
	segments         *Node        // [b,n,i] or nil
}

// minus is a later sum less an earlier one in the dtype of gates. Sums are float64, and so are their gradients: what a pair of
// tokens gives to the sums at both its ends cancels in the gradient of the decays outside of it.
func (c *call) minus(later, earlier *Node) *Node { return ConvertDType(Sub(later, earlier), c.gate) }

// Chunk computes the operator in pieces of q tokens (at most 16, or a multiple of 16): products inside a piece, a prefix
// over pieces. It returns y [batch, tokens, heads, values] in the dtype of LogDecay and the last state [batch, heads,
// keys, values]. It is differentiable in every float operand, through the final state too. Tokens need not be a
// multiple of q. No exponential is of a positive number, whatever the decays.
// Bfloat16 operands without Segments run through kernels on an NVIDIA GPU, in chunks of their own.
func Chunk(op Operands, q int) (y, state *Node) {
	if fusable(op) {
		return fused(op)
	}
	c := cutUp(op, q)
	enter, leave, total := c.gates()
	own := chunking.Product("bnhkj,bnhjv->bnhkv", ConvertDType(Mul(c.key, leave), c.half), c.value, c.gate)
	rows := c.Heads * c.Keys
	entering, last := chunking.Prefix(Reshape(total, c.Batch, c.chunks, rows), Reshape(own, c.Batch, c.chunks, rows, 1, c.Values),
		Reshape(op.initial(c.Dims), c.Batch, rows, 1, c.Values))
	entering = ConvertDType(Reshape(entering, c.Batch, c.chunks, c.Heads, c.Keys, c.Values), c.half)
	y = chunking.Product("bnhki,bnhkv->bnhiv", ConvertDType(Mul(c.query, enter), c.half), entering, c.gate)
	y = Add(y, c.inside())
	y = Reshape(TransposeAllAxes(y, 0, 1, 3, 2, 4), c.Batch, c.chunks*c.q, c.Heads, c.Values)
	y = Add(SliceAxis(y, 1, AxisRange(0, c.Tokens)), c.itself(op))
	return y, Reshape(last, c.Batch, c.Heads, c.Keys, c.Values)
}

// itself is what a token reads of its own write.
func (c *call) itself(op Operands) *Node {
	weight := Mul(ConvertDType(op.Q, c.gate), ConvertDType(op.K, c.gate))
	if op.Bonus != nil {
		weight = Mul(weight, InsertAxes(chunking.PerRow(ConvertDType(op.Bonus, c.gate), 2), 1))
	}
	return Mul(InsertAxes(ReduceSum(weight, -1), -1), ConvertDType(op.V, c.gate))
}

func (op Operands) initial(d Dims) *Node {
	if op.Initial != nil {
		return op.Initial
	}
	return Zeros(op.Q.Graph(), shapes.Make(op.LogDecay.DType(), d.Batch, d.Heads, d.Keys, d.Values))
}

func cutUp(op Operands, q int) *call {
	if q < 1 || q > block && q%block != 0 {
		panic(fmt.Errorf("vectorgate: chunk length %d must be between 1 and %d or a multiple of %d", q, block, block))
	}
	c := &call{Dims: dimsOf(op), q: q, block: min(q, block), gate: op.LogDecay.DType(), half: op.V.DType()}
	c.chunks = max(1, (c.Tokens+q-1)/q)
	split := func(x *Node) *Node { // [b,t,h,d] -> [b,n,i,h,d]
		return Reshape(chunking.PadTokens(x, c.chunks*q), c.Batch, c.chunks, q, c.Heads, x.Shape().Dim(-1))
	}
	keys := func(x *Node) *Node { return TransposeAllAxes(split(ConvertDType(x, c.gate)), 0, 1, 3, 4, 2) }
	c.query, c.key, c.value = keys(op.Q), keys(op.K), TransposeAllAxes(split(op.V), 0, 1, 3, 2, 4)
	c.sum = chunking.RunningSum(keys(op.LogDecay))
	c.read = c.sum
	if op.Bonus != nil {
		c.read = ShiftWithScalar(c.sum, -1, ShiftDirRight, 1, 0)
	}
	if op.Segments != nil {
		c.segments = Reshape(chunking.PadEdge(op.Segments, c.chunks*q), c.Batch, c.chunks, q)
	}
	return c
}

// gates are the decays from the chunk's start to where each token reads, and from each write to the chunk's end
// [b,n,h,k,i], and the log of the whole chunk's [b,n,h,k].
func (c *call) gates() (enter, leave, total *Node) {
	end := SliceAxis(c.sum, -1, AxisRangeToEnd(c.q-1))
	enter, leave, total = ConvertDType(c.read, c.gate), c.minus(end, c.sum), ConvertDType(Squeeze(end, -1), c.gate)
	if c.segments != nil {
		last := SliceAxis(c.segments, -1, AxisRangeToEnd(c.q-1)) // [b,n,1]
		before := ShiftWithScalar(last, 1, ShiftDirRight, 1, 0)  // of the state that enters
		all := func(x *Node) *Node { return BroadcastToDims(x, c.Batch, c.chunks, c.q) }
		enter = where(InsertAxes(Equal(c.segments, all(before)), 2, 2), enter, chunking.Cut)
		leave = where(InsertAxes(Equal(c.segments, all(last)), 2, 2), leave, chunking.Cut)
		total = where(InsertAxes(Equal(last, before), 2), total, chunking.Cut)
	}
	return Exp(enter), Exp(leave), total
}

// where is x where the mask holds and other elsewhere; the mask's axes are x's last, or 1.
func where(mask, x *Node, other float64) *Node {
	mask = BroadcastToDims(ExpandLeftToRank(mask, x.Rank()), x.Shape().Dimensions...)
	return Where(mask, x, BroadcastToShape(Scalar(x.Graph(), x.DType(), other), x.Shape()))
}

func dimsOf(op Operands) Dims {
	q, v := op.Q.Shape(), op.V.Shape()
	if q.Rank() != 4 || v.Rank() != 4 {
		panic(fmt.Errorf("vectorgate: q %s must be [batch, tokens, heads, keys] and v %s [batch, tokens, heads, values]", q, v))
	}
	d := Dims{q.Dim(0), q.Dim(1), q.Dim(2), q.Dim(3), v.Dim(3)}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("vectorgate: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	check("K", op.K, d.Batch, d.Tokens, d.Heads, d.Keys)
	check("V", op.V, d.Batch, d.Tokens, d.Heads, d.Values)
	check("LogDecay", op.LogDecay, d.Batch, d.Tokens, d.Heads, d.Keys)
	if op.Bonus != nil && op.Bonus.Rank() == 3 {
		check("Bonus", op.Bonus, d.Batch, d.Heads, d.Keys)
	} else {
		check("Bonus", op.Bonus, d.Heads, d.Keys)
	}
	check("Initial", op.Initial, d.Batch, d.Heads, d.Keys, d.Values)
	check("Segments", op.Segments, d.Batch, d.Tokens)
	return d
}
