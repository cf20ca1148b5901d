package fixeddecay

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence"
)

// Moments are sum and sum of squares of the entries of the state after every token, float64 [batch, tokens, heads].
func (op Operands) Moments(q int) (sum, squares *Node) {
	return recurrence.Chunk(op.general(), q).Moments()
}

// StatesAt returns the state after the tokens at positions (int32 [n]): [n, batch, heads, keys, values].
func (op Operands) StatesAt(positions *Node, q int) *Node {
	return TransposeAllAxes(recurrence.Chunk(op.general(), q).StatesAt(positions), 0, 1, 2, 4, 3)
}
