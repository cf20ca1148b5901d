package vectorgate

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// LogSigmoid is ln σ(x) / divisor, finite for every x: the gate of GLA, whose divisor is 16.
func LogSigmoid(x *Node, divisor float64) *Node { return MulScalar(Softplus(Neg(x)), -1/divisor) }

// tiny stands for a lower bound of 0, whose log would have no gradient.
const tiny = 1e-30

// Forget is the gate of HGRN-2: a = l + (1 − l) σ(f) for f [batch, tokens, heads, keys] and the lower bound l [(batch,) heads,
// keys], nil for 0. It returns ln a and the key 1 − a, which keeps
// its precision where a is near 1.
func Forget(f, lower *Node) (logDecay, key *Node) {
	key = Sigmoid(Neg(f))
	if lower == nil {
		return LogSigmoid(f, 1), key
	}
	lower = InsertAxes(chunking.PerRow(lower, 2), 1)
	key = Mul(key, OneMinus(lower))
	// ln a = ln σ(f) + ln(1 + l e^{−f}) without an exponential of a positive number where f < 0: −softplus(−f) +
	// softplus(ln l − f) is ln((1 + l e^{−f}) / (1 + e^{−f})).
	return Sub(Softplus(Sub(Log(MaxScalar(lower, tiny)), f)), Softplus(Neg(f))), key
}
