package stack

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
)

// Window is a sequence with the inputs that came before it: the last ones of the tokens before the call, as a state of the model
// carries them.
type Window struct {
	l      *Layer
	all    *Node // [batch, carried + tokens, channels]
	segs   *Node // int32 [batch, carried + tokens]: documents, 0 for those carried; or nil
	length int   // inputs carried
}

// Window puts the inputs that the state carries, [batch, channels, taps] oldest first or, of one, [batch, channels], before x [batch,
// tokens, channels]; it sets the state and offers its probes.
func (l *Layer) Window(state string, x *Node) *Window {
	past := l.State(state)
	w := &Window{l: l, length: 1}
	if past.Rank() == 2 {
		past = InsertAxes(past, 1)
	} else {
		past = TransposeAllAxes(past, 0, 2, 1)
		w.length = past.Shape().Dim(1)
	}
	w.all = Concatenate([]*Node{ConvertDType(past, x.DType()), x}, 1)
	if l.Segments != nil {
		w.segs = Concatenate([]*Node{Zeros(x.Graph(), shapes.Make(dtypes.Int32, l.Rows, w.length)), l.Segments}, 1)
	}
	l.SetState(state, w.after(l.State(state).Rank()))
	l.Probe(lm.Of(lm.States, l.Model, state), func() *Node {
		at := w.at(l.Ends)
		if l.State(state).Rank() == 2 {
			at = Squeeze(at, -1)
		}
		return at
	})
	l.Probe(lm.Of(lm.Inputs, l.Model, state), func() *Node { return w.all })
	return w
}

// after is the state after the last token, of the rank of the state.
func (w *Window) after(rank int) *Node {
	g, l := w.all.Graph(), w.l
	var state *Node
	switch {
	case l.Length != nil:
		state = Squeeze(w.at(Reshape(AddScalar(l.Length, -1), 1)), 0)
	case w.segs != nil:
		state = Squeeze(w.at(Const(g, []int32{int32(l.Tokens - 1)})), 0)
	default:
		state = ConvertDType(TransposeAllAxes(SliceAxis(w.all, 1, AxisRange(l.Tokens, l.Tokens+w.length)), 0, 2, 1), l.Gate)
	}
	if rank == 2 {
		return Squeeze(state, -1)
	}
	return state
}

// at are the inputs held after the tokens ends int32 [n]: [n, batch, channels, carried]; those of other documents are 0.
func (w *Window) at(ends *Node) *Node {
	g, k := w.all.Graph(), w.length
	n := ends.Shape().Dim(0)
	idx := Add(Reshape(ends, 1, n, 1), AddScalar(Iota(g, shapes.Make(dtypes.Int32, w.l.Rows, n, k), 2), 1))
	rows := TakeTokens(w.all, idx)
	if w.segs != nil {
		of := TakeTokens(InsertAxes(w.segs, -1), idx)
		own := SliceAxis(of, 2, AxisElem(k-1))
		rows = Where(BroadcastToShape(Equal(of, own), shapes.Make(dtypes.Bool, rows.Shape().Dimensions...)), rows, ZerosLike(rows))
	}
	return ConvertDType(TransposeAllAxes(rows, 1, 0, 3, 2), w.l.Gate)
}

// Back is the sequence so many tokens earlier, [batch, tokens, channels], 0 where that is in another document.
func (w *Window) Back(tokens int) *Node {
	n, from := w.l.Tokens, w.length-tokens
	x := SliceAxis(w.all, 1, AxisRange(from, from+n))
	if w.segs == nil || tokens == 0 {
		return x
	}
	same := InsertAxes(Equal(SliceAxis(w.segs, 1, AxisRange(from, from+n)), w.l.Segments), -1)
	return Where(BroadcastToShape(same, shapes.Make(dtypes.Bool, x.Shape().Dimensions...)), x, ZerosLike(x))
}

// Convolve is the causal depthwise convolution in the dtype of the gates: weight [members, channels, taps], whose last tap is the
// token's own, bias [members, channels] or nil. The state carries as many inputs as there are taps, or one fewer.
func (w *Window) Convolve(weight, bias *Node) (y *Node) {
	weights := w.l.PerRow(weight, 1) // [batch or 1, 1, channels, taps]
	taps := weights.Shape().Dim(-1)
	for i := range taps {
		term := Mul(ConvertDType(w.Back(taps-1-i), w.l.Gate), Squeeze(SliceAxis(weights, -1, AxisElem(i)), -1))
		if y == nil {
			y = term
		} else {
			y = Add(y, term)
		}
	}
	if bias != nil {
		y = Add(y, w.l.PerRow(bias, 1))
	}
	return y
}

// Shift is x of the token before, as token shift reads it: [batch, tokens, channels]; the state [batch, channels] carries the last.
func (l *Layer) Shift(state string, x *Node) *Node { return l.Window(state, x).Back(1) }

// TakeTokens takes rows idx int32 [batch, n, k] of x [batch, tokens, channels].
func TakeTokens(x, idx *Node) *Node {
	batch, tokens, ch := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	flat := Add(idx, MulScalar(Iota(x.Graph(), idx.Shape(), 0), tokens))
	return Gather(Reshape(x, batch*tokens, ch), InsertAxes(flat, -1))
}
