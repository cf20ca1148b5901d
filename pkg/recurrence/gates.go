package recurrence

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Delta is Δ = clamp(softplus(dt + bias), lo, hi) in dt's dtype: dt [batch, tokens, heads], bias [batch or 1, 1, heads].
func Delta(dt, bias *Node, lo, hi float64) *Node {
	return Limit(Softplus(Add(dt, bias)), lo, hi)
}

// Limit clamps with the gradient of a clamp: none where a limit holds.
func Limit(x *Node, lo, hi float64) *Node {
	if lo > 0 {
		x = MaxScalar(x, lo)
	}
	if !math.IsInf(hi, 1) {
		x = MinScalar(x, hi)
	}
	return x
}

// LogAlpha is log α = Δ·A, A negative [batch or 1, 1, heads]. The minimum is never the 0; it keeps compilers from fusing
// the product into the sums that follow, so that the rounding does not depend on what those are.
func LogAlpha(delta, a *Node) *Node { return MinScalar(Mul(delta, a), 0) }

// Skip is y + D x, D [batch or 1, 1, heads, 1].
func Skip(y, x, d *Node) *Node { return Add(y, Mul(ConvertDType(x, y.DType()), d)) }
