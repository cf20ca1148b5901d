package train

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TokenLoss is lm.TokenLoss of the model's logits for labels int32 [batch, tokens], 0 where the label is negative, taken
// in pieces of the sequence, so that the logits of one piece exist at a time, in the backward too.
func TokenLoss(m lm.Model, call lm.Call, hidden, labels *Node, pieces int) *Node {
	loss := func(call lm.Call, hidden, labels *Node) *Node {
		known := GreaterOrEqual(labels, ZerosLike(labels))
		l := lm.TokenLoss(m.Logits(call, hidden), MaxScalar(labels, 0))
		return Where(known, l, ZerosLike(l))
	}
	if pieces <= 1 {
		return loss(call, hidden, labels)
	}
	b, t, d := hidden.Shape().Dim(0), hidden.Shape().Dim(1), hidden.Shape().Dim(2)
	split := TransposeAllAxes(Reshape(hidden, b, pieces, t/pieces, d), 1, 0, 2, 3)
	rows := TransposeAllAxes(Reshape(labels, b, pieces, t/pieces), 1, 0, 2)
	var names []string // what the head may use
	var consts []*Node
	for _, s := range m.Parameters(max(call.Replicas, 1)) {
		if !s.Layered {
			names, consts = append(names, s.Name), append(consts, call.Params[s.Name])
		}
	}
	_, ys := xla.Scan{N: pieces}.Run([]*Node{ScalarZero(hidden.Graph(), hidden.DType())}, []*Node{split, rows}, consts,
		func(_ *xla.Iter, carry, xs, consts []*Node) (next, ys []*Node) {
			inner := lm.Call{Options: call.Options, Params: map[string]*Node{}}
			for i, n := range names {
				inner.Params[n] = consts[i]
			}
			return carry, []*Node{loss(inner, xs[0], xs[1])}
		})
	return Reshape(TransposeAllAxes(ys[0], 1, 0, 2), b, t)
}

// pieces is the smallest divisor of length for which a piece's float32 logits take at most so many bytes.
func pieces(batch, length, vocab, bytes int) int {
	for p := 1; p < length; p++ {
		if length%p == 0 && batch*(length/p)*vocab <= bytes/dtypes.Float32.Size() {
			return p
		}
	}
	return length
}
