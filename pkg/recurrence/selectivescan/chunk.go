package selectivescan

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// Operands of one call of [Chunk]. Delta, A and Initial are float32 (or float64); X, B and C may be bfloat16.
type Operands struct {
	X, Delta *Node // [batch, tokens, channels]; Delta not negative
	A        *Node // [(batch,) channels, state], negative
	B, C     *Node // [batch, tokens, state]
	Initial  *Node // [batch, channels, state] or nil for zeros
	Write    *Node // [batch, tokens, channels] or nil: replaces Δ as the strength of the write Δ x B
	Segments *Node // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial
	Infer    bool  // no gradient will be asked for
}

// Chunk computes the operator token by token in a loop over pieces of q tokens: the backward keeps the states between
// pieces and makes those inside a piece again. It returns y [batch, tokens, channels] in the dtype of Delta, without
// D x, and the last state [batch, channels, state]. It is differentiable in every float operand, through the final
// state too. Tokens need not be a multiple of q.
func Chunk(op Operands, q int) (y, state *Node) {
	d := dimsOf(op)
	if q < 1 {
		panic(fmt.Errorf("selectivescan: chunk length %d must be at least 1", q))
	}
	chunks := max(1, (d.Tokens+q-1)/q)
	pieces := func(x *Node) *Node { // [b,t,…] -> [chunk,token,b,…]
		x = Reshape(chunking.PadTokens(x, chunks*q), d.Batch, chunks, q, x.Shape().Dim(-1))
		return TransposeAllAxes(x, 1, 2, 0, 3)
	}
	xs := []*Node{pieces(op.written()), pieces(op.Delta), pieces(op.B), pieces(op.C)}
	if op.Segments != nil {
		xs = append(xs, pieces(InsertAxes(chunking.Starts(op.Segments, op.Delta.DType()), -1)))
	}
	token := func(_ *xla.Iter, carry, x, consts []*Node) (next, ys []*Node) {
		decay := Mul(InsertAxes(x[1], -1), chunking.PerRow(consts[0], 2))
		if op.Segments != nil {
			decay = Add(decay, InsertAxes(x[4], -1))
		}
		y, h := step(x[0], decay, x[2], x[3], carry[0])
		return []*Node{h}, []*Node{y}
	}
	piece := func(_ *xla.Iter, carry, x, consts []*Node) (next, ys []*Node) {
		return xla.Scan{N: q, Per: unrolled(q), Infer: op.Infer}.Run(carry, x, consts, token)
	}
	last, ys := xla.Scan{N: chunks, Infer: op.Infer}.Run([]*Node{op.initial()}, xs, []*Node{op.A}, piece)
	y = Reshape(TransposeAllAxes(ys[0], 2, 0, 1, 3), d.Batch, chunks*q, d.Channels)
	return SliceAxis(y, 1, AxisRange(0, d.Tokens)), last[0]
}

// written is Δ x in the dtype of Δ.
func (op Operands) written() *Node {
	strength := op.Delta
	if op.Write != nil {
		strength = op.Write
	}
	return Mul(strength, ConvertDType(op.X, strength.DType()))
}

// unrolled is the number of tokens in one turn of the inner loop.
func unrolled(q int) int {
	for per := 4; per > 1; per /= 2 {
		if q%per == 0 {
			return per
		}
	}
	return 1
}

func dimsOf(op Operands) Dims {
	x, a := op.X.Shape(), op.A.Shape()
	if x.Rank() != 3 || a.Rank() != 2 && a.Rank() != 3 {
		panic(fmt.Errorf("selectivescan: x %s must be [batch, tokens, channels] and A %s [(batch,) channels, state]", x, a))
	}
	d := Dims{x.Dim(0), x.Dim(1), x.Dim(2), a.Dim(-1)}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("selectivescan: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	check("Delta", op.Delta, d.Batch, d.Tokens, d.Channels)
	if a.Rank() == 3 {
		check("A", op.A, d.Batch, d.Channels, d.State)
	} else {
		check("A", op.A, d.Channels, d.State)
	}
	check("Write", op.Write, d.Batch, d.Tokens, d.Channels)
	check("B", op.B, d.Batch, d.Tokens, d.State)
	check("C", op.C, d.Batch, d.Tokens, d.State)
	check("Initial", op.Initial, d.Batch, d.Channels, d.State)
	check("Segments", op.Segments, d.Batch, d.Tokens)
	return d
}
