package retnet

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/stack"
)

// position is the name of the state that counts the tokens before the call, [layers, batch].
const position = "position"

// positions of the tokens int32 [batch, tokens]: counted from the state, and from 0 in every document that begins. The state
// becomes that of the token after the last.
func positions(l *stack.Layer) *Node {
	before := l.State(position)
	g := before.Graph()
	token := Iota(g, shapes.Make(dtypes.Int32, l.Rows, l.Tokens), 1)
	carried := InsertAxes(ConvertDType(StopGradient(before), dtypes.Int32), -1)
	at := Add(token, carried)
	if s := l.Segments; s != nil {
		zero := ZerosLike(token)
		start := Where(NotEqual(s, ShiftWithScalar(s, 1, ShiftDirRight, 1, 0)), token, zero)
		for n := 1; n < l.Tokens; n *= 2 { // the largest so far
			start = Max(start, ShiftWithScalar(start, 1, ShiftDirRight, n, 0))
		}
		at = Where(Equal(s, zero), at, Sub(token, start))
	}
	next := AddScalar(SliceAxis(at, 1, AxisRangeToEnd(l.Tokens-1)), 1)
	if l.Length != nil {
		next = Add(carried, l.Length)
	}
	l.SetState(position, ConvertDType(Squeeze(next, -1), before.DType()))
	return at
}
