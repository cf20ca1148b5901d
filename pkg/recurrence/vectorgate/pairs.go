package vectorgate

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// inside is what tokens read of the writes before them in their own chunk: Σ_{j<i} (Σ_k q_ik k_jk e^{B_i − B_j}) v_j,
// [b,n,h,i,v].
func (c *call) inside() *Node {
	in := xla.Nodes{c.query, c.key, c.read, c.sum}
	backward := func(adjoints xla.Nodes) xla.Nodes { return c.scoresBackward(in, adjoints) }
	scores := xla.CustomVJP(c.scores, backward, in...)[0]
	if c.segments != nil {
		dims := []int{c.Batch, c.chunks, c.q, c.q}
		same := Equal(BroadcastToDims(InsertAxes(c.segments, 3), dims...), BroadcastToDims(InsertAxes(c.segments, 2), dims...))
		scores = where(InsertAxes(same, 2), scores, 0)
	}
	return chunking.Product("bnhij,bnhjv->bnhiv", ConvertDType(scores, c.half), c.value, c.gate)
}

// scores are Σ_k q_ik k_jk e^{B_i − B_j} for j < i and 0 elsewhere, [b,n,h,i,j]. in: query, key, read and sum.
func (c *call) scores(in xla.Nodes) xla.Nodes {
	f := c.factors(in)
	scores := c.onDiagonal(ReduceSum(Mul(Mul(InsertAxes(f.query, -1), InsertAxes(f.key, -2)), f.near), 3))
	if c.q > c.block {
		far := chunking.Product("bnhaki,bnhakj->bnhaij", f.lateQuery(), f.earlyKey(), c.gate)
		scores = Add(scores, Reshape(far, c.Batch, c.chunks, c.Heads, c.q, c.q))
	}
	return xla.Nodes{scores}
}

// scoresBackward keeps no pair of tokens key by key: the factors are made again. A sum B enters the scores through q
// and k alone, so its gradient is q ⊙ dq − k ⊙ dk.
func (c *call) scoresBackward(in, adjoints xla.Nodes) xla.Nodes {
	f, d := c.factors(in), adjoints[0]
	near := Mul(InsertAxes(c.diagonal(d), 3), f.near) // [b,n,h,k,a,i,j]
	dq := ReduceSum(Mul(near, InsertAxes(f.key, -2)), -1)
	dk := ReduceSum(Mul(near, InsertAxes(f.query, -1)), -2)
	if c.q > c.block {
		far := ConvertDType(Reshape(d, c.Batch, c.chunks, c.Heads, c.q/c.block, c.block, c.q), c.half)
		late := chunking.Product("bnhaij,bnhakj->bnhaki", far, f.earlyKey(), c.gate)
		early := chunking.Product("bnhaij,bnhaki->bnhakj", far, f.lateQuery(), c.gate)
		dq = Add(dq, TransposeAllAxes(Mul(late, f.late), 0, 1, 2, 4, 3, 5))
		dk = Add(dk, c.blocks(ReduceSum(Mul(early, f.early), 3)))
	}
	back := func(x *Node) *Node { return Reshape(x, c.query.Shape().Dimensions...) }
	dq, dk = back(dq), back(dk)
	wide := func(x *Node) *Node { return ConvertDType(x, c.sum.DType()) }
	return xla.Nodes{dq, dk, wide(Mul(in[0], dq)), wide(Neg(Mul(in[1], dk)))}
}

// factors of the scores. Axes: a block of the chunk, i/j token in its block, or in the chunk where it says so.
type factors struct {
	*call
	query, key *Node // [b,n,h,k,a,i]
	near       *Node // [b,n,h,k,a,i,j] e^{B_i − B_j} for j < i of one block, 0 elsewhere
	late       *Node // [b,n,h,a,k,i] from the block's start to where token i reads
	early      *Node // [b,n,h,a,k,j] from the write of token j of the chunk to the block's start, 0 for later ones
}

func (c *call) factors(in xla.Nodes) (f factors) {
	f = factors{call: c, query: c.blocks(in[0]), key: c.blocks(in[1])}
	read, sum := c.blocks(in[2]), c.blocks(in[3])
	f.near = Exp(where(before(c.query.Graph(), c.block, c.block, 1), c.minus(InsertAxes(read, -1), InsertAxes(sum, -2)), chunking.Cut))
	if c.q == c.block {
		return f
	}
	blocks := c.q / c.block
	swap := func(x *Node) *Node { return TransposeAllAxes(x, 0, 1, 2, 4, 3, 5) }                    // [b,n,h,k,a,·] <-> [b,n,h,a,k,·]
	start := ShiftWithScalar(SliceAxis(sum, -1, AxisRangeToEnd(c.block-1)), 4, ShiftDirRight, 1, 0) // [b,n,h,k,a,1]
	f.late = Exp(swap(c.minus(read, start)))
	all := InsertAxes(in[3], 3) // [b,n,h,1,k,j]
	mask := InsertAxes(before(c.query.Graph(), blocks, c.q, c.block), 1)
	f.early = Exp(where(mask, c.minus(swap(start), all), chunking.Cut))
	return f
}

// lateQuery and earlyKey are the two sides of the products between blocks.
func (f factors) lateQuery() *Node {
	return ConvertDType(Mul(TransposeAllAxes(f.query, 0, 1, 2, 4, 3, 5), f.late), f.half)
}

func (f factors) earlyKey() *Node {
	whole := Reshape(f.key, f.Batch, f.chunks, f.Heads, 1, f.Keys, f.q)
	return ConvertDType(Mul(whole, f.early), f.half)
}

// before [1,…,rows,columns] holds where a column comes before the row's first token.
func before(g *Graph, rows, columns, tokens int) *Node {
	square := shapes.Make(dtypes.Int32, rows, columns)
	return LessThan(Iota(g, square, 1), MulScalar(Iota(g, square, 0), tokens))
}

// blocks splits the last axis: [b,n,h,k,i] -> [b,n,h,k,a,i].
func (c *call) blocks(x *Node) *Node {
	return Reshape(x, c.Batch, c.chunks, c.Heads, c.Keys, c.q/c.block, c.block)
}

// onDiagonal puts blocks [b,n,h,a,i,j] on the diagonal of [b,n,h,i,j], and diagonal takes them from it.
func (c *call) onDiagonal(x *Node) *Node {
	a := c.q / c.block
	x = where(c.eye(x.Graph()), BroadcastToDims(InsertAxes(x, 5), c.Batch, c.chunks, c.Heads, a, c.block, a, c.block), 0)
	return Reshape(x, c.Batch, c.chunks, c.Heads, c.q, c.q)
}

func (c *call) diagonal(x *Node) *Node {
	a := c.q / c.block
	x = Reshape(x, c.Batch, c.chunks, c.Heads, a, c.block, a, c.block)
	return ReduceSum(where(c.eye(x.Graph()), x, 0), 5)
}

func (c *call) eye(g *Graph) *Node { // [1,1,1,a,1,a,1]
	a := c.q / c.block
	square := shapes.Make(dtypes.Int32, a, a)
	return Reshape(Equal(Iota(g, square, 0), Iota(g, square, 1)), 1, 1, 1, a, 1, a, 1)
}
