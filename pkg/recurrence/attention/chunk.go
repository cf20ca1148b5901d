package attention

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// Operands of one call of [Chunk]. Q, K and V are float32 or float64, or bfloat16 all three.
type Operands struct {
	Q        *Node  // [batch, tokens, heads, key], scaled
	K, V     *Node  // [batch, tokens, kvHeads, key or value]
	Cache    *Cache // or nil: no tokens before, and none are kept
	Segments *Node  // int32 [batch, tokens] or nil: ascending; the cache is emptied where the segment changes; 0 continues it
	Length   *Node  // int32 scalar or nil: tokens from here on are padding and do not enter the cache

	Window int // last tokens that a query sees, its own among them; 0: all. The cache keeps the others, unread.

	Infer     bool              // no gradient will be asked for
	NoKernels bool              // the graph in float32 also where there are kernels
	Keep      func(*Node) *Node // or nil: keeps a value of the kernels for the gradient instead of computing it again
}

// Result of [Chunk].
type Result struct {
	Y     *Node  // [batch, tokens, heads, value], of Q's dtype
	Cache *Cache // nil where Operands.Cache is; the room is the same and must be enough
}

// Chunk computes the operator in blocks of q queries, each against all keys, so that memory grows with q times the
// tokens; a block is computed again for its gradient. It is differentiable in every float operand, through the cache too.
// Of bfloat16 operands kernels multiply them as they are, with float32 sums, where [Operands.Fuses]; the graph converts them to float32.
func Chunk(op Operands, q int) Result {
	d := dimsOf(op)
	if q < 1 {
		panic(fmt.Errorf("attention: blocks of %d queries must have at least 1", q))
	}
	if op.Q.DType() == dtypes.BFloat16 {
		if op.Fuses() {
			return Result{Y: fused(op, d)}
		}
		return inFloat32(op, q)
	}
	q = min(q, d.Tokens)
	g, blocks, group := op.Q.Graph(), (d.Tokens+q-1)/q, d.Heads/d.KVHeads
	seen := newSeen(op, d)
	keys, values := op.K, op.V
	if op.Cache != nil {
		keys, values = Concatenate([]*Node{op.Cache.Keys, keys}, 1), Concatenate([]*Node{op.Cache.Values, values}, 1)
	}
	keys, values = TransposeAllAxes(keys, 0, 2, 1, 3), TransposeAllAxes(values, 0, 2, 1, 3) // [b,h,j,·]

	queries := pad(Reshape(op.Q, d.Batch, d.Tokens, d.KVHeads, group, d.Key), blocks*q)
	queries = TransposeAllAxes(Reshape(queries, d.Batch, blocks, q, d.KVHeads, group, d.Key), 1, 0, 3, 4, 2, 5) // [n,b,h,r,i,k]
	row := TransposeAllAxes(Reshape(pad(seen.row, blocks*q), d.Batch, blocks, q), 1, 0, 2)
	block := func(query, row, at *Node, consts []*Node) *Node { // [b,h,r,i,v]
		scores := Einsum("bhrik,bhjk->bhrij", query, consts[0])
		index := Add(Iota(g, shapes.Make(dtypes.Int32, 1, q, 1), 1), MulScalar(at, q))
		scores = Add(scores, InsertAxes(seen.mask(row, index, consts[2], consts[3], scores.DType()), 1, 1))
		weights := Exp(Sub(scores, StopGradient(ReduceAndKeep(scores, ReduceMax, -1))))
		read := Einsum("bhrij,bhjv->bhriv", weights, consts[1])
		return Div(read, ReduceAndKeep(weights, ReduceSum, -1))
	}
	consts := []*Node{keys, values, seen.column, seen.index}
	var y *Node
	if blocks == 1 {
		y = InsertAxes(block(Squeeze(queries, 0), Squeeze(row, 0), Const(g, int32(0)), consts), 0)
	} else {
		carry := []*Node{Scalar(g, op.Q.DType(), 0)}
		_, ys := xla.Scan{N: blocks, Infer: op.Infer}.Run(carry, []*Node{queries, row}, consts,
			func(it *xla.Iter, c, x, consts []*Node) (next, ys []*Node) {
				return c, []*Node{block(x[0], x[1], it.I, consts)}
			})
		y = ys[0]
	}
	y = Reshape(TransposeAllAxes(y, 1, 0, 4, 2, 3, 5), d.Batch, blocks*q, d.Heads, d.Value)
	r := Result{Y: SliceAxis(y, 1, AxisRange(0, d.Tokens))}
	if op.Cache != nil {
		after := op.Cache.put(op.K, op.V, op.Segments, op.Length)
		r.Cache = &after
	}
	return r
}

// Step is the operator for one token: tokens must be 1 in op, which has a cache and no segments.
func Step(op Operands) Result {
	d := dimsOf(op)
	if d.Tokens != 1 || op.Cache == nil || op.Segments != nil {
		panic(fmt.Errorf("attention: a step takes one token, a cache and no segments; there are %d tokens", d.Tokens))
	}
	after := op.Cache.put(op.K, op.V, nil, nil)
	group, room := d.Heads/d.KVHeads, after.Keys.Shape().Dim(1)
	query := Reshape(op.Q, d.Batch, d.KVHeads, group, d.Key)
	scores := Einsum("bhrk,bhjk->bhrj", query, TransposeAllAxes(after.Keys, 0, 2, 1, 3))
	slot := Iota(op.Q.Graph(), shapes.Make(dtypes.Int32, d.Batch, room), 1)
	held := InsertAxes(after.Held, -1)
	visible := LessThan(slot, held)
	if op.Window > 0 {
		visible = LogicalAnd(visible, GreaterOrEqual(slot, AddScalar(held, -op.Window)))
	}
	scores = Add(scores, InsertAxes(hidden(visible, scores.DType()), 1, 1))
	weights := Exp(Sub(scores, StopGradient(ReduceAndKeep(scores, ReduceMax, -1))))
	read := Einsum("bhrj,bhjv->bhrv", weights, TransposeAllAxes(after.Values, 0, 2, 1, 3))
	y := Reshape(Div(read, ReduceAndKeep(weights, ReduceSum, -1)), d.Batch, 1, d.Heads, d.Value)
	return Result{Y: y, Cache: &after}
}

// seen says which keys a query sees: those of its document, up to itself and inside the window. Documents are numbered by
// segment, an unused place in the cache is −1.
type seen struct {
	row, column *Node // int32 [batch, tokens], [batch, room + tokens]: documents of queries and of keys
	index       *Node // int32 [1 or batch, 1, room + tokens]: of keys in the call, negative in the cache; −1 is the last that a row holds where there is a window
	window      int
}

func newSeen(op Operands, d Dims) seen {
	g := op.Q.Graph()
	s := seen{row: op.Segments, window: op.Window}
	if s.row == nil {
		s.row = Zeros(g, shapes.Make(dtypes.Int32, d.Batch, d.Tokens))
	}
	s.column = s.row
	room := 0
	if op.Cache != nil {
		room = op.Cache.Keys.Shape().Dim(1)
		slot := Iota(g, shapes.Make(dtypes.Int32, d.Batch, room), 1)
		used := LessThan(slot, InsertAxes(op.Cache.Held, -1))
		s.column = Concatenate([]*Node{Where(used, ZerosLike(slot), Neg(OnesLike(slot))), s.row}, 1)
	}
	s.index = AddScalar(Iota(g, shapes.Make(dtypes.Int32, 1, 1, room+d.Tokens), 2), -room)
	if s.window > 0 && room > 0 {
		at := Iota(g, shapes.Make(dtypes.Int32, d.Batch, 1, room), 2)
		called := Iota(g, shapes.Make(dtypes.Int32, d.Batch, 1, d.Tokens), 2)
		s.index = Concatenate([]*Node{Sub(at, InsertAxes(op.Cache.Held, -1, -1)), called}, 2)
	}
	return s
}

// mask [batch, i, j] for queries of documents row [batch, i] at index [1, i, 1] is what scores get, see hidden.
func (s seen) mask(row, index, column, keys *Node, dtype dtypes.DType) *Node {
	visible := LogicalAnd(Equal(InsertAxes(row, -1), InsertAxes(column, 1)), LessOrEqual(keys, index))
	if s.window > 0 {
		visible = LogicalAnd(visible, GreaterThan(keys, AddScalar(index, -s.window)))
	}
	return hidden(visible, dtype)
}

// hidden is 0 where a key is seen and so far below any score elsewhere that its weight is 0.
func hidden(seen *Node, dtype dtypes.DType) *Node {
	return MulScalar(OneMinus(ConvertDType(seen, dtype)), -1e30)
}

// pad appends zeros on axis 1. A padded query reads something, which is cut off again.
func pad(x *Node, tokens int) *Node {
	dims := append([]int{}, x.Shape().Dimensions...)
	if dims[1] == tokens {
		return x
	}
	dims[1] = tokens - dims[1]
	return Concatenate([]*Node{x, Zeros(x.Graph(), shapes.Make(x.DType(), dims...))}, 1)
}

func dimsOf(op Operands) Dims {
	q, k, v := op.Q.Shape(), op.K.Shape(), op.V.Shape()
	if q.Rank() != 4 || k.Rank() != 4 || v.Rank() != 4 {
		panic(fmt.Errorf("attention: q %s, k %s and v %s must be [batch, tokens, heads, entries]", q, k, v))
	}
	d := Dims{q.Dim(0), q.Dim(1), q.Dim(2), k.Dim(2), q.Dim(3), v.Dim(3)}
	check := func(name string, n *Node, dims ...int) {
		if n != nil && fmt.Sprint(n.Shape().Dimensions) != fmt.Sprint(dims) {
			panic(fmt.Errorf("attention: %s has shape %v, must be %v", name, n.Shape().Dimensions, dims))
		}
	}
	check("K", op.K, d.Batch, d.Tokens, d.KVHeads, d.Key)
	check("V", op.V, d.Batch, d.Tokens, d.KVHeads, d.Value)
	check("Segments", op.Segments, d.Batch, d.Tokens)
	if half := q.DType == dtypes.BFloat16; half != (k.DType == dtypes.BFloat16) || half != (v.DType == dtypes.BFloat16) {
		panic(fmt.Errorf("attention: q is %s, k %s and v %s: all three or none must be bfloat16", q.DType, k.DType, v.DType))
	}
	if d.Heads%d.KVHeads != 0 || d.Tokens < 1 {
		panic(fmt.Errorf("attention: %d key-value heads must divide %d heads, and %d tokens be at least 1", d.KVHeads, d.Heads, d.Tokens))
	}
	if op.Cache != nil {
		op.Cache.check(op.K, op.V)
	}
	return d
}
