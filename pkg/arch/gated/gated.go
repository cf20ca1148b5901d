// Package gated is what architectures share whose state is a matrix per head with a gated linear recurrence,
//
//	S_t = diag(α_t) S_{t−1} + k_t v_tᵀ      y_t = S_tᵀ q_t
//
// GLA (arXiv 2312.06635), HGRN-2 (2404.07904), RWKV-5 and RWKV-6 (2404.05892) and, with one fixed α per head, RetNet (2307.08621).
// It names their state, controls and probes, and runs the operators of packages vectorgate and fixeddecay inside a layer.
package gated

import (
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/pkg/stack"
)

// State is the name of the recurrent state, [layers, batch, heads, keys, values].
const State = "state"

// StateSpec returns the spec of the recurrent state.
func StateSpec(layers, batch, heads, keys, values int) lm.Spec {
	return lm.Spec{Name: State, Role: lm.Recurrent, Layered: true, Dims: []int{layers, batch, heads, keys, values},
		Axes: []lm.Axis{lm.Layer, lm.Batch, lm.HeadAxis, lm.Key, lm.Value}}
}

// Controls lists the interventions per head; with fixed, those on a decay that does not depend on tokens are left out.
func Controls(heads int, fixed bool) []lm.Control {
	list := []lm.Control{
		{Name: "log_alpha_shift", Neutral: math.Copysign(0, -1), Does: "added to log α: the log of a factor of α"},
		{Name: "log_alpha_min", Neutral: math.Inf(-1), Does: "lower bound of log α"},
		{Name: "log_alpha_max", Neutral: math.Inf(1), Does: "upper bound of log α"},
		{Name: "b_scale", Neutral: 1, Does: "factor of the key, and so of what is written"},
		{Name: "y_scale", Neutral: 1, Does: "factor of the head's output; 0 ablates the head"},
	}
	if fixed {
		list = list[3:]
	}
	for i := range list {
		list[i].Dims, list[i].Axes = []int{heads}, []lm.Axis{lm.HeadAxis}
	}
	return list
}

// Probes lists the activations that can be recorded; decay names the axes of log α after the heads.
func Probes(decay ...lm.Axis) []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	with := func(axes ...lm.Axis) []lm.Axis { return append(slices.Clone(head), axes...) }
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	return []lm.Probe{
		{Name: lm.LogAlpha, Axes: with(decay...), Does: "log α, the log of the decay"},
		{Name: lm.Sum, Axes: head, Does: "sum of the entries of the state"},
		{Name: lm.Squares, Axes: head, Does: "sum of their squares"},
		{Name: lm.States, Axes: []lm.Axis{lm.Position, lm.Batch, lm.HeadAxis, lm.Key, lm.Value}, Does: "state after some tokens"},
		{Name: lm.Values, Axes: with(lm.Value), Does: "v"},
		{Name: lm.Keys, Axes: with(lm.Key), Does: "k"},
		{Name: lm.Queries, Axes: with(lm.Key), Does: "q, before any scale"},
		{Name: "y", Axes: with(lm.Value), Does: "what is read"},
		{Name: "mixer_out", Axes: wide, Does: "what the mixer adds to the residual stream"},
		{Name: lm.Residual, Axes: wide, Does: "residual stream after the block"},
	}
}

// Vector runs the recurrence with a vector gate from the layer's state, stores the new state and returns y [batch, tokens, heads, values].
// scale multiplies q. A single token without a gradient runs as one step.
func Vector(l *stack.Layer, op vectorgate.Operands, scale float64, chunk int) *Node {
	show(l, op.Q, op.K, op.V)
	op.LogDecay = l.Change("log_alpha_shift", op.LogDecay, stack.PerHead(Add))
	op.LogDecay = l.Change("log_alpha_min", op.LogDecay, stack.PerHead(Max))
	op.LogDecay = l.Real(l.Change("log_alpha_max", op.LogDecay, stack.PerHead(Min)))
	l.Probe(lm.LogAlpha, func() *Node { return op.LogDecay })
	op.K = l.Real(l.Change("b_scale", op.K, stack.PerHead(Mul)))
	op.Q = narrow(l, MulScalar(op.Q, scale))
	op.K, op.V = narrow(l, op.K), narrow(l, op.V)
	op.Initial, op.Segments, op.NoKernels = l.State(State), l.Segments, l.NoKernels
	if r := windowOf(l); r > 0 {
		return read(l, slid(l, op, r, pieces(l, chunk)))
	}
	both := once(op.Moments)
	l.ProbeState(State, func() *Node { return both()[0] }, func() *Node { return both()[1] }, op.StatesAt)
	var y, state *Node
	if single(l) {
		one := func(x *Node) *Node { return Squeeze(x, 1) }
		y, state = vectorgate.Step(one(op.Q), one(op.K), one(op.V), one(op.LogDecay), op.Bonus, op.Initial)
		y = InsertAxes(y, 1)
	} else {
		y, state = vectorgate.Chunk(op, pieces(l, chunk))
	}
	l.SetState(State, state)
	return read(l, y)
}

// Fixed is Vector for a constant decay per head.
func Fixed(l *stack.Layer, op fixeddecay.Operands, scale float64, chunk int) *Node {
	show(l, op.Q, op.K, op.V)
	l.Probe(lm.LogAlpha, func() *Node {
		heads := op.LogDecay.Shape().Dim(0)
		return BroadcastToDims(Reshape(op.LogDecay, 1, 1, heads), l.Rows, l.Tokens, heads)
	})
	op.K = l.Change("b_scale", op.K, stack.PerHead(Mul))
	op.Q = narrow(l, MulScalar(op.Q, scale))
	op.K, op.V = narrow(l, op.K), narrow(l, op.V)
	if r := windowOf(l); r > 0 {
		every := Add(Reshape(op.LogDecay, 1, 1, op.LogDecay.Shape().Dim(0), 1), ZerosLike(ConvertDType(op.K, l.Gate)))
		wide := vectorgate.Operands{Q: op.Q, K: l.Real(op.K), V: op.V, LogDecay: l.Real(every), Initial: l.State(State), Segments: l.Segments}
		return read(l, slid(l, wide, r, pieces(l, chunk)))
	}
	op.Initial, op.Segments, op.Length = l.State(State), l.Segments, l.Length
	chunk = pieces(l, chunk)
	both := once(func() (sum, squares *Node) { return op.Moments(chunk) })
	l.ProbeState(State, func() *Node { return both()[0] }, func() *Node { return both()[1] },
		func(ends *Node) *Node { return op.StatesAt(ends, chunk) })
	var y, state *Node
	if single(l) {
		one := func(x *Node) *Node { return Squeeze(x, 1) }
		y, state = fixeddecay.Step(one(op.Q), one(op.K), one(op.V), op.LogDecay, op.Initial)
		y = InsertAxes(y, 1)
	} else {
		y, state = fixeddecay.Chunk(op, chunk)
	}
	l.SetState(State, state)
	return read(l, y)
}

func show(l *stack.Layer, q, k, v *Node) {
	l.Probe(lm.Queries, func() *Node { return q })
	l.Probe(lm.Keys, func() *Node { return k })
	l.Probe(lm.Values, func() *Node { return v })
}

func read(l *stack.Layer, y *Node) *Node {
	y = l.Change("y_scale", y, stack.PerHead(Mul))
	l.Probe("y", func() *Node { return y })
	return y
}

// narrow converts x to the dtype of matrix products.
func narrow(l *stack.Layer, x *Node) *Node { return ConvertDType(x, l.Products) }

func single(l *stack.Layer) bool {
	return l.Tokens == 1 && l.Infer && l.Segments == nil && l.Length == nil
}

// pieces is the length of chunks: the call's, else the model's; above 16 a multiple of 16.
func pieces(l *stack.Layer, chunk int) int {
	if l.Chunk > 0 {
		chunk = l.Chunk
	}
	if chunk > 16 {
		chunk -= chunk % 16
	}
	return chunk
}

// once computes a pair on first use and caches it.
func once(f func() (a, b *Node)) func() [2]*Node {
	var both *[2]*Node
	return func() [2]*Node {
		if both == nil {
			a, b := f()
			both = &[2]*Node{a, b}
		}
		return *both
	}
}
