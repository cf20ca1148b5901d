package attention

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Cache is what the tokens before a call have left, in room for more.
type Cache struct {
	Keys, Values *Node // [batch, room, kvHeads, key or value]
	Held         *Node // int32 [batch]: how many tokens of the room are in use
}

// Positions are those of the call's tokens in their documents, int32 [batch, tokens]: from held on (int32 [batch], nil
// for 0), from 0 where a segment begins (int32 [batch, tokens], nil for one document).
func Positions(g *Graph, batch, tokens int, held, segments *Node) *Node {
	at := Iota(g, shapes.Make(dtypes.Int32, batch, tokens), 1)
	if segments == nil {
		if held != nil {
			at = Add(at, InsertAxes(held, -1))
		}
		return at
	}
	before := ShiftWithScalar(segments, 1, ShiftDirRight, 1, 0)
	begins := Where(NotEqual(segments, before), at, ZerosLike(at))
	start := begins // the running maximum: the last beginning so far
	for s := 1; s < tokens; s *= 2 {
		start = Max(start, ShiftWithScalar(start, 1, ShiftDirRight, s, 0))
	}
	at = Sub(at, start)
	if held != nil {
		first := ConvertDType(Equal(segments, ZerosLike(segments)), dtypes.Int32)
		at = Add(at, Mul(first, InsertAxes(held, -1)))
	}
	return at
}

// put is the cache after the call: what it held, or nothing if the last document began in the call, and that document's
// tokens. length is how many of the call's tokens count.
func (c Cache) put(k, v, segments, length *Node) Cache {
	g, d := k.Graph(), k.Shape().Dimensions
	batch, tokens, room := d[0], d[1], c.Keys.Shape().Dim(1)
	count := Scalar(g, dtypes.Int32, tokens)
	if length != nil {
		count = length
	}
	// Nothing is broadcast explicitly: the Go backend loses such nodes in loops.
	keep, first := c.Held, Zeros(g, c.Held.Shape()) // tokens kept of the cache, first of the call's that joins them
	if segments != nil {
		index := Iota(g, segments.Shape(), 1)
		real := LessThan(index, count)
		last := ReduceAndKeep(Where(real, segments, ZerosLike(segments)), ReduceMax, 1) // [batch, 1]
		other := LogicalAnd(real, NotEqual(segments, last))
		first = ReduceSum(ConvertDType(other, dtypes.Int32), 1)
		keep = Where(Equal(Squeeze(last, 1), ZerosLike(keep)), keep, ZerosLike(keep))
	}
	from := Sub(first, keep) // from a place in the room to the call's token in it
	source := Add(Iota(g, shapes.Make(dtypes.Int32, batch, room), 1), InsertAxes(from, -1))
	source = ClipScalar(source, 0, float64(tokens-1))
	source = Add(source, MulScalar(Iota(g, source.Shape(), 0), tokens)) // row of all rows
	join := func(old, own *Node) *Node {
		dims := own.Shape().Dimensions
		rows := Gather(Reshape(own, batch*tokens, dims[2], dims[3]), InsertAxes(source, -1))
		slot := Iota(g, shapes.Make(dtypes.Int32, old.Shape().Dimensions...), 1)
		isNew := LogicalAnd(GreaterOrEqual(slot, InsertAxes(keep, -1, -1, -1)), LessThan(Add(slot, InsertAxes(from, -1, -1, -1)), count))
		return Where(isNew, rows, old)
	}
	return Cache{join(c.Keys, k), join(c.Values, v), Add(keep, Sub(count, first))}
}

func (c Cache) check(k, v *Node) {
	for _, x := range [][2]*Node{{c.Keys, k}, {c.Values, v}} {
		a, b := x[0].Shape().Dimensions, x[1].Shape().Dimensions
		if len(a) != 4 || a[0] != b[0] || a[2] != b[2] || a[3] != b[3] {
			panic(fmt.Errorf("attention: a cache of shape %v does not fit keys or values of shape %v", a, b))
		}
	}
	if c.Held == nil || c.Held.Rank() != 1 || c.Held.DType() != dtypes.Int32 {
		panic(fmt.Errorf("attention: a cache says how many tokens it holds as int32 [batch]"))
	}
}
