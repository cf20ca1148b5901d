// Package deltarule runs the operator of package recurrence/delta as the mixer of a layer, with its state, probes and controls, for
// DeltaNet (arXiv 2406.06484), Gated DeltaNet (arXiv 2412.06464), Kimi Delta Attention (arXiv 2510.26692) and RWKV-7 (arXiv
// 2503.14456). Per head, with the state S [key, value],
//
//	S_t = α_t S_{t−1} + β_t k_t (v_t − (α_t S_{t−1})ᵀ k_t)ᵀ      y_t = S_tᵀ q_t
//
// where α is absent, a number of the head or one of each key channel; RWKV-7 removes along a direction of its own.
package deltarule

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/stack"
)

// State is the name of the recurrent state, [layers, batch, heads, key, value].
const State = "state"

// NoWindow says why method 3 of arXiv 2410.07145 does not apply: an erasure multiplies older writes by a matrix, so their share of
// the state is not a number times an older state.
const NoWindow = "a delta rule erases: its state is not a weighted sum of what was written, so older writes cannot be removed by subtracting a multiple of an older state (method 3)"

// StateSpec returns the spec of the recurrent state.
func StateSpec(layers, batch, heads, key, value int) lm.Spec {
	return lm.Spec{Name: State, Role: lm.Recurrent, Layered: true, Dims: []int{layers, batch, heads, key, value},
		Axes: []lm.Axis{lm.Layer, lm.Batch, lm.HeadAxis, lm.Key, lm.Value}}
}

// Probes lists the activations that a layer with the operator records; decay names the axes of log α after the heads.
func Probes(decay ...lm.Axis) []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	key, value := append(slices.Clone(head), lm.Key), append(slices.Clone(head), lm.Value)
	return []lm.Probe{
		{Name: lm.Delta, Axes: head, Does: "β, the share by which a key's value is replaced"},
		{Name: lm.LogAlpha, Axes: append(slices.Clone(head), decay...), Does: "log of the decay"},
		{Name: lm.Sum, Axes: head, Does: "sum of the entries of the state"},
		{Name: lm.Squares, Axes: head, Does: "sum of their squares"},
		{Name: lm.States, Axes: []lm.Axis{lm.Position, lm.Batch, lm.HeadAxis, lm.Key, lm.Value}, Does: "state after some tokens"},
		{Name: lm.Values, Axes: value, Does: "v"},
		{Name: lm.Keys, Axes: key, Does: "k"},
		{Name: lm.Queries, Axes: key, Does: "q, before its factor"},
		{Name: "y", Axes: value, Does: "what the operator reads"},
		{Name: "mixer_out", Axes: []lm.Axis{lm.Batch, lm.Token, lm.Channel}, Does: "what the mixer adds to the residual stream"},
		{Name: lm.Residual, Axes: []lm.Axis{lm.Batch, lm.Token, lm.Channel}, Does: "residual stream after the block"},
	}
}

// Controls lists the interventions on a layer with the operator, per head; decays says whether the state decays.
func Controls(heads int, decays bool) []lm.Control {
	list := []lm.Control{
		{Name: "delta_scale", Neutral: 1, Does: "factor of β, the strength of the write and of the erasure"},
		{Name: "delta_max", Neutral: math.Inf(1), Does: "upper bound of β"},
		{Name: "log_alpha_shift", Neutral: math.Copysign(0, -1), Does: "added to log α: the log of a factor of α"},
		{Name: "log_alpha_min", Neutral: math.Inf(-1), Does: "lower bound of log α"},
		{Name: "log_alpha_max", Neutral: math.Inf(1), Does: "upper bound of log α"},
		{Name: "y_scale", Neutral: 1, Does: "factor of the head's output; 0 ablates the head"},
	}
	if !decays {
		list = slices.Delete(list, 2, 5)
	}
	for i := range list {
		list[i].Dims, list[i].Axes = []int{heads}, []lm.Axis{lm.HeadAxis}
	}
	return list
}

// Gates returns β and log α (or nil) after the layer's interventions; padding neither writes nor decays.
func Gates(l *stack.Layer, beta, logAlpha *Node) (b, log *Node) {
	beta = l.Change("delta_scale", beta, stack.PerHead(Mul))
	beta = l.Real(l.Change("delta_max", beta, stack.PerHead(Min)))
	l.Probe(lm.Delta, func() *Node { return beta })
	return beta, Decay(l, logAlpha)
}

// Decay returns log α, or nil, after the layer's interventions.
func Decay(l *stack.Layer, logAlpha *Node) *Node {
	if logAlpha == nil {
		return nil
	}
	logAlpha = l.Change("log_alpha_shift", logAlpha, stack.PerHead(Add))
	logAlpha = l.Change("log_alpha_min", logAlpha, stack.PerHead(Max))
	logAlpha = l.Real(l.Change("log_alpha_max", logAlpha, stack.PerHead(Min)))
	l.Probe(lm.LogAlpha, func() *Node { return logAlpha })
	return logAlpha
}

// Mix runs the operator from the layer's state and stores the new state; it returns [batch, tokens, heads, value]. A single token without a
// gradient uses Step, everything else Chunk.
func Mix(l *stack.Layer, op delta.Operands, chunk int) *Node {
	op.Initial, op.Infer, op.Half, op.NoKernels = l.State(State), l.Infer, l.Products == dtypes.BFloat16, l.NoKernels
	if l.Chunk > 0 {
		chunk = l.Chunk
	}
	var y *Node
	if l.Tokens == 1 && l.Infer && l.Segments == nil {
		y = step(l, op)
	} else {
		op.Segments = l.Segments
		r := delta.Chunk(op, chunk)
		y = r.Y
		l.SetState(State, r.State)
		moments := sumAndSquares(r.Moments)
		l.ProbeState(State, func() *Node { return moments(0) }, func() *Node { return moments(1) }, r.StatesAt)
	}
	y = l.Change("y_scale", y, stack.PerHead(Mul))
	l.Probe("y", func() *Node { return y })
	return y
}

func step(l *stack.Layer, op delta.Operands) *Node {
	one := op
	for _, n := range []**Node{&one.Q, &one.K, &one.V, &one.LogDecay, &one.Erase, &one.Read} {
		if *n != nil {
			*n = Squeeze(*n, 1)
		}
	}
	y, state := delta.Step(one)
	l.SetState(State, state)
	moments := sumAndSquares(func() (sum, squares *Node) {
		wide := ConvertDType(state, dtypes.Float64)
		return InsertAxes(ReduceSum(wide, -1, -2), 1), InsertAxes(ReduceSum(Square(wide), -1, -2), 1)
	})
	l.ProbeState(State, func() *Node { return moments(0) }, func() *Node { return moments(1) }, func(ends *Node) *Node {
		return Concatenate(slices.Repeat([]*Node{InsertAxes(state, 0)}, ends.Shape().Dim(0)), 0) // the one token, as often as asked for
	})
	return InsertAxes(y, 1)
}

// sumAndSquares computes both on first use and caches them.
func sumAndSquares(f func() (sum, squares *Node)) func(i int) *Node {
	var both []*Node
	return func(i int) *Node {
		if both == nil {
			sum, squares := f()
			both = []*Node{sum, squares}
		}
		return both[i]
	}
}

// Unit returns x / √(Σ x² + 1e-6) over the last axis.
func Unit(x *Node) *Node {
	return Mul(x, Rsqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-6)))
}

// Scaled returns q / √key.
func Scaled(q *Node) *Node { return MulScalar(q, 1/math.Sqrt(float64(q.Shape().Dim(-1)))) }
