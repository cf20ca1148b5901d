package delta

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Rule makes operands of the delta rule: the state decays by w = exp(logDecay), and then its value under key k moves by
// the share β towards v,
//
//	S ← diag(w) S      S ← S + β k (v − kᵀ S)ᵀ
//
// q, k [batch, tokens, heads, key], v [batch, tokens, heads, value], beta [batch, tokens, heads], logDecay as in
// [Operands]. The tokens may be left out of all, for [Step].
func Rule(q, k, v, logDecay, beta *Node) Operands {
	write, read := Mul(k, InsertAxes(beta, -1)), k
	if logDecay != nil {
		read = Mul(k, Exp(perChannel(logDecay, k)))
	}
	return Operands{Q: q, K: write, V: v, LogDecay: logDecay, Erase: write, Read: read, rule: &ruled{k, beta, write, read, logDecay}}
}

// perChannel gives a decay per head the axis of channels that k has, of size 1.
func perChannel(decay, k *Node) *Node {
	if decay.Rank() < k.Rank() {
		return InsertAxes(decay, -1)
	}
	return decay
}

// Step is the recurrence for one token: operands without the axis of tokens, Initial [batch, heads, key, value] the state.
// It returns y [batch, heads, value] and the new state. The decay is applied as S + S·expm1(log w), which does not drift
// when w is within rounding of 1.
func Step(op Operands) (y, next *Node) {
	state, column := op.Initial, func(x *Node) *Node { return InsertAxes(x, -1) } // [b,h,k,1]
	read := ReduceAndKeep(Mul(state, column(op.Read)), ReduceSum, 2)              // [b,h,1,v]
	next = Sub(Mul(column(op.K), InsertAxes(op.V, 2)), Mul(column(op.Erase), read))
	if op.LogDecay != nil {
		next = Add(next, Mul(state, Expm1(column(perChannel(op.LogDecay, op.K)))))
	}
	next = Add(state, next)
	return ReduceSum(Mul(next, column(op.Q)), 2), next
}
