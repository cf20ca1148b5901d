// Package fixeddecay is the retention of RetNet (arXiv 2307.08621), per head with state S ∈ R^{K×V} and a decay γ that no
// token changes:
//
//	S_t = γ S_{t−1} + k_t v_tᵀ        y_t = S_tᵀ q_t
//
// As a graph it is the operator of package recurrence with Δ = 1 and a constant log α; [Naive] is its own definition.
package fixeddecay

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence"
)

// Operands of one call of [Chunk]. LogDecay and Initial are float32 (or float64); Q, K and V may be bfloat16.
type Operands struct {
	Q, K     *Node // [batch, tokens, heads, keys]; scale Q before
	V        *Node // [batch, tokens, heads, values]
	LogDecay *Node // [heads], not positive; see Retention
	Initial  *Node // [batch, heads, keys, values] or nil for zeros
	Segments *Node // int32 [batch, tokens] or nil: ascending; the state restarts where the segment changes; 0 continues Initial
	Length   *Node // int32 scalar or nil: tokens from here on are padding and leave the state alone
}

// Retention is ln γ of each head as RetNet sets it: γ_h = 1 − 2^{−5−h}.
func Retention(heads int) []float64 {
	log := make([]float64, heads)
	for h := range log {
		log[h] = math.Log1p(-math.Exp2(float64(-5 - h)))
	}
	return log
}

// Chunk computes the operator in pieces of q tokens and returns y [batch, tokens, heads, values] in the dtype of
// LogDecay and the last state [batch, heads, keys, values]. It is differentiable in every float operand.
func Chunk(op Operands, q int) (y, state *Node) {
	r := recurrence.Chunk(op.general(), q)
	return r.Y, TransposeAllAxes(r.State, 0, 1, 3, 2)
}

// general is the call as one of package recurrence, whose states are [values, keys].
func (op Operands) general() recurrence.Operands {
	if op.LogDecay.Rank() != 1 || op.Q.Rank() != 4 || op.LogDecay.Shape().Dim(0) != op.Q.Shape().Dim(2) {
		panic(fmt.Errorf("fixeddecay: log decay %s must have one entry for each head of q %s [batch, tokens, heads, keys]", op.LogDecay.Shape(), op.Q.Shape()))
	}
	d, t := op.Q.Shape().Dimensions, op.LogDecay.DType()
	perToken := shapes.Make(t, d[0], d[1], d[2])
	live := Ones(op.Q.Graph(), perToken)
	if op.Length != nil {
		place := Iota(op.Q.Graph(), shapes.Make(dtypes.Int32, perToken.Dimensions...), 1)
		live = ConvertDType(LessThan(place, op.Length), t)
	}
	out := recurrence.Operands{X: op.V, B: op.K, C: op.Q, Delta: live, LogAlpha: Mul(live, Reshape(op.LogDecay, 1, 1, d[2])), Segments: op.Segments}
	if op.Initial != nil {
		out.Initial = TransposeAllAxes(op.Initial, 0, 1, 3, 2)
	}
	return out
}

// Step is one token: q and k [batch, heads, keys], v [batch, heads, values], logDecay [heads], state [batch, heads,
// keys, values]. It returns y [batch, heads, values] and the new state.
func Step(q, k, v, logDecay, state *Node) (y, next *Node) {
	t := state.DType()
	write := Mul(InsertAxes(ConvertDType(k, t), -1), InsertAxes(ConvertDType(v, t), -2))
	next = Add(state, Add(Mul(state, Reshape(Expm1(logDecay), 1, -1, 1, 1)), write))
	return ReduceSum(Mul(next, InsertAxes(ConvertDType(q, t), -1)), -2), next
}
