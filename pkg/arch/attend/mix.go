// Package attend runs the operator of package recurrence/attention (arXiv 1706.03762) as the mixer of a layer: queries and keys are
// turned by rotary positions (arXiv 2104.09864), keys and values go into a cache that grows with the sequence,
//
//	y_t = Σ_{j≤t} softmax_j(R_t q_t · R_j k_j / √key) v_j
package attend

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/stack"
)

// Names of the state.
const (
	Keys   = "kv.key"
	Values = "kv.value"
	Length = "kv.length"
)

// queries is the number of queries computed at a time unless the call overrides it.
const queries = 128

// States are the specs of the cache: kv.key (after rotation) and kv.value [layers, batch, kvHeads, positions, head], and
// kv.length [layers, batch], how many positions are in use.
func States(layers, batch, kvHeads, head int) []lm.Spec {
	cache := lm.Spec{Name: Keys, Role: lm.Cache, Layered: true, Grows: true, Dims: []int{layers, batch, kvHeads, 1, head},
		Axes: []lm.Axis{lm.Layer, lm.Batch, lm.HeadAxis, lm.Position, lm.Key}}
	values := cache
	values.Name, values.Axes = Values, slices.Clone(cache.Axes)
	values.Axes[4] = lm.Value
	return []lm.Spec{cache, values, {Name: Length, Role: lm.Length, Layered: true, Dims: []int{layers, batch}, Axes: []lm.Axis{lm.Layer, lm.Batch}}}
}

// Memory is how a model keeps its cache; models embed it. With a Window of r tokens, a query attends to the last r tokens of its layer, as
// with a cache of r tokens that drops the oldest.
type Memory struct {
	Window int // 0: the model's own, all tokens
}

// Past is the length of the window in tokens, 0 if there is none.
func (m Memory) Past() int { return m.Window }

// Vary returns the memory with the given variant applied, for a model's Variant method.
func (m Memory) Vary(name string, v lm.Variant) (Memory, error) {
	if v.NormEvery > 0 || v.Decimate {
		return m, fmt.Errorf("%s keeps a cache: it may have a window, but no limited norm and no decimation", name)
	}
	if v.Window < 1 || v.Window > 1<<20 {
		return m, fmt.Errorf("window of %d tokens is outside 1 … %d", v.Window, 1<<20)
	}
	m.Window = v.Window
	return m, nil
}

// Probes lists the activations that a layer with the operator records.
func Probes() []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	key, value := append(slices.Clone(head), lm.Key), append(slices.Clone(head), lm.Value)
	return []lm.Probe{
		{Name: lm.Queries, Axes: key, Does: "q before rotation"},
		{Name: lm.Keys, Axes: key, Does: "k before rotation"},
		{Name: lm.Values, Axes: value, Does: "v"},
		{Name: "y", Axes: value, Does: "what the operator reads"},
		{Name: "mixer_out", Axes: wide, Does: "what the mixer adds to the residual stream"},
		{Name: lm.Residual, Axes: wide, Does: "residual stream after the block"},
	}
}

// Controls lists the interventions on a layer with the operator, per query head.
func Controls(heads int) []lm.Control {
	return []lm.Control{{Name: "y_scale", Neutral: 1, Does: "factor of the head's output; 0 ablates the head", Dims: []int{heads}, Axes: []lm.Axis{lm.HeadAxis}}}
}

// Mix is what q [batch, tokens, heads, head] reads of k, v [batch, tokens, kvHeads, head] and of the cache, with the first
// rotated entries of q and k turned by their positions.
func Mix(l *stack.Layer, q, k, v *Node, rotated int, theta float64) *Node {
	for name, n := range map[string]*Node{lm.Queries: q, lm.Keys: k, lm.Values: v} {
		l.Probe(name, func() *Node { return n })
	}
	op := attention.Operands{V: v, Segments: l.Segments, Length: l.Length, Infer: l.Infer, NoKernels: l.NoKernels,
		Keep: func(n *Node) *Node { return l.Keep("attention", n) }}
	if m, has := l.Model.(interface{ Past() int }); has {
		op.Window = m.Past()
	}
	var held *Node
	positionsFirst := func(x *Node) *Node { return TransposeAllAxes(x, 0, 2, 1, 3) }
	if !l.ZeroState {
		held = ConvertDType(l.State(Length), dtypes.Int32)
		op.Cache = &attention.Cache{Keys: positionsFirst(l.State(Keys)), Values: positionsFirst(l.State(Values)), Held: held}
	}
	at := attention.Positions(q.Graph(), l.Rows, l.Tokens, held, l.Segments)
	q, op.K = attention.Rotate(q, at, rotated, theta), attention.Rotate(k, at, rotated, theta)
	op.Q = MulScalar(q, 1/math.Sqrt(float64(q.Shape().Dim(-1))))
	var r attention.Result
	if l.Tokens == 1 && l.Infer && l.Segments == nil {
		op.Length = nil
		r = attention.Step(op)
	} else {
		chunk := queries
		if l.Chunk > 0 {
			chunk = l.Chunk
		}
		if l.Products == dtypes.BFloat16 && op.Fuses() {
			for _, x := range []**Node{&op.Q, &op.K, &op.V} {
				*x = ConvertDType(*x, l.Products)
			}
		}
		r = attention.Chunk(op, chunk)
	}
	if r.Cache != nil {
		l.SetState(Keys, positionsFirst(r.Cache.Keys))
		l.SetState(Values, positionsFirst(r.Cache.Values))
		l.SetState(Length, ConvertDType(r.Cache.Held, l.Gate))
	}
	y := l.Change("y_scale", ConvertDType(r.Y, l.Gate), stack.PerHead(Mul))
	l.Probe("y", func() *Node { return y })
	return y
}
