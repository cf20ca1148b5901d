package mamba2

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// inputs are those of the convolution, after the carried ones.
type inputs struct {
	*block
	l    layerOf
	all  *Node // [batch, kernel + tokens, channels]
	segs *Node // int32 [batch, kernel + tokens], or nil
}

// window puts the carried window [batch, channels, kernel] before raw [batch, tokens, channels].
func (b *block) window(l layerOf, raw, window *Node) *inputs {
	g, k := raw.Graph(), b.Kernel
	past := TransposeAllAxes(window, 0, 2, 1)
	w := &inputs{block: b, l: l, all: Concatenate([]*Node{ConvertDType(past, raw.DType()), raw}, 1)}
	if l.segments != nil {
		w.segs = Concatenate([]*Node{Zeros(g, shapes.Make(dtypes.Int32, b.batch, k)), l.segments}, 1)
	}
	return w
}

// at are windows after the tokens ends (int32 [n]): [n, batch, channels, kernel].
func (w *inputs) at(ends *Node) *Node {
	g, k, n := w.all.Graph(), w.Kernel, ends.Shape().Dim(0)
	idx := Add(Reshape(ends, 1, n, 1), AddScalar(Iota(g, shapes.Make(dtypes.Int32, w.batch, n, k), 2), 1))
	rows := gatherTokens(w.all, idx)
	if w.segs != nil {
		of := gatherTokens(InsertAxes(w.segs, -1), idx)
		own := SliceAxis(of, 2, AxisElem(k-1))
		same := Equal(of, own)
		rows = Where(BroadcastToShape(same, shapes.Make(dtypes.Bool, rows.Shape().Dimensions...)), rows, ZerosLike(rows))
	}
	return ConvertDType(TransposeAllAxes(rows, 1, 0, 3, 2), w.gate)
}

func (w *inputs) atEnds() *Node { return w.at(w.l.ends) }

// after is the window after the last token.
func (w *inputs) after() *Node {
	switch {
	case w.l.length != nil:
		return Squeeze(w.at(Reshape(AddScalar(w.l.length, -1), 1)), 0)
	case w.segs != nil:
		return Squeeze(w.at(Const(w.all.Graph(), []int32{int32(w.tokens - 1)})), 0)
	}
	return ConvertDType(TransposeAllAxes(SliceAxis(w.all, 1, AxisRange(w.tokens, w.tokens+w.Kernel)), 0, 2, 1), w.gate)
}

// taps is the convolution of n tokens that follow kernel ones in all [batch, kernel + n, channels]; same, if given, says
// of each tap where it belongs to the token's own document.
func (b *block) taps(all, weight, bias *Node, n int, same ...func(from int) *Node) (y *Node) {
	k := b.Kernel
	weights := b.perRow(weight, 1) // [batch or 1, 1, channels, kernel]
	for i := range k {             // tap i sees the token k − 1 − i before the current one
		tap := ConvertDType(SliceAxis(all, 1, AxisRange(i+1, i+1+n)), b.gate)
		for _, f := range same {
			if i < k-1 {
				tap = Where(BroadcastToShape(f(i+1), shapes.Make(dtypes.Bool, tap.Shape().Dimensions...)), tap, ZerosLike(tap))
			}
		}
		term := Mul(tap, Squeeze(SliceAxis(weights, -1, AxisElem(i)), -1))
		if y == nil {
			y = term
		} else {
			y = Add(y, term)
		}
	}
	if b.ConvBias {
		y = Add(y, b.perRow(bias, 1))
	}
	return y
}

// maskOf tells by tap which tokens have the same segment as the current one.
func maskOf(segs, segments *Node) []func(from int) *Node {
	if segs == nil {
		return nil
	}
	n := segments.Shape().Dim(1)
	return []func(from int) *Node{func(from int) *Node {
		return InsertAxes(Equal(SliceAxis(segs, 1, AxisRange(from, from+n)), segments), -1)
	}}
}

// gatherTokens takes rows idx [batch, n, k] of x [batch, tokens, channels].
func gatherTokens(x, idx *Node) *Node {
	batch, tokens, ch := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	flat := Add(idx, MulScalar(Iota(x.Graph(), idx.Shape(), 0), tokens))
	return Gather(Reshape(x, batch*tokens, ch), InsertAxes(flat, -1))
}
