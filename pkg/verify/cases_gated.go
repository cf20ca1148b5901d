package verify

import (
	"math"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/xla"
)

// gatedKind is the recurrence with a decay per key: log decays g, raw gates gk with g = ln σ(gk)/16 (GLA), or forget gates f over a
// lower bound with the key 1 − a (HGRN-2). y includes the factor key^−½.
var gatedKind = kind{
	name: "vector gate",
	holds: func(file map[string]*checkpoint.Tensor) bool {
		g := file["g"]
		return file["q"] != nil && file["beta"] == nil && file["b"] == nil && (g != nil && len(g.Shape) == 4 || file["gk"] != nil || file["f"] != nil)
	},
	leaves:  []string{"q", "k", "v", "g", "gk", "f", "lower_bound", "h0"},
	initial: "h0",
	chunk: func(c opCase, in map[string]*Node, segments, _ *Node, q int) (y, state *Node) {
		op := gatedOperands(in)
		op.Segments = segments
		y, state = vectorgate.Chunk(op, q)
		if segments != nil { // the states of documents need gradients
			state = c.eachEnd(func(end int) *Node {
				cut := op
				for _, n := range []**Node{&cut.Q, &cut.K, &cut.V, &cut.LogDecay, &cut.Segments} {
					*n = SliceAxis(*n, 1, AxisRange(0, end))
				}
				_, last := vectorgate.Chunk(cut, q)
				return last
			})
		}
		return y, state
	},
	step: func(c opCase, in map[string]*Node) (y, state *Node) {
		op := gatedOperands(in)
		return tokenByToken(in, op.Initial, []*Node{op.Q, op.K, op.V, op.LogDecay}, func(x []*Node, state *Node) (y, next *Node) {
			return vectorgate.Step(x[0], x[1], x[2], x[3], nil, state)
		})
	},
	naive: func(c opCase, segments, ends []int) (y, state []float64) {
		decay, key := c.gates()
		q := c.file["q"].Shape
		s := vectorgate.Sequence{Dims: vectorgate.Dims{Batch: q[0], Tokens: q[1], Heads: q[2], Keys: q[3], Values: c.file["v"].Shape[3]},
			Q: c.scaledQuery(), K: key, V: c.values["v"], LogDecay: decay, Initial: c.values["h0"], Segments: segments}
		keep := newKept(ends, s.Heads, s.Keys*s.Values)
		y, state = vectorgate.Naive(s, keep.see)
		return y, keep.or(state)
	},
}

// retentionKind is the recurrence with a decay per head that no token changes, g [heads]; y includes the factor key^−½.
var retentionKind = kind{
	name: "fixed decay",
	holds: func(file map[string]*checkpoint.Tensor) bool {
		g := file["g"]
		return file["q"] != nil && file["k"] != nil && g != nil && len(g.Shape) == 1 && file["beta"] == nil && file["b"] == nil
	},
	leaves:  []string{"q", "k", "v", "g", "h0"},
	initial: "h0",
	chunk: func(c opCase, in map[string]*Node, segments, _ *Node, q int) (y, state *Node) {
		op := fixeddecay.Operands{Q: scaledQuery(in["q"]), K: in["k"], V: in["v"], LogDecay: in["g"], Initial: in["h0"], Segments: segments}
		y, state = fixeddecay.Chunk(op, q)
		if segments != nil {
			state = c.eachEnd(func(end int) *Node {
				cut := op
				for _, n := range []**Node{&cut.Q, &cut.K, &cut.V, &cut.Segments} {
					*n = SliceAxis(*n, 1, AxisRange(0, end))
				}
				_, last := fixeddecay.Chunk(cut, q)
				return last
			})
		}
		return y, state
	},
	step: func(c opCase, in map[string]*Node) (y, state *Node) {
		d := in["q"].Shape().Dimensions // the decay goes along with the tokens: loops take what belongs to them
		decay := Mul(Reshape(in["g"], 1, 1, d[2]), Ones(in["g"].Graph(), shapes.Make(in["g"].DType(), d[0], d[1], d[2])))
		return tokenByToken(in, in["h0"], []*Node{scaledQuery(in["q"]), in["k"], in["v"], decay}, func(x []*Node, state *Node) (y, next *Node) {
			return fixeddecay.Step(x[0], x[1], x[2], Reshape(SliceAxis(x[3], 0, AxisRange(0, 1)), -1), state)
		})
	},
	naive: func(c opCase, segments, ends []int) (y, state []float64) {
		q := c.file["q"].Shape
		s := fixeddecay.Sequence{Dims: fixeddecay.Dims{Batch: q[0], Tokens: q[1], Heads: q[2], Keys: q[3], Values: c.file["v"].Shape[3]},
			Q: c.scaledQuery(), K: c.values["k"], V: c.values["v"], LogDecay: c.values["g"], Initial: c.values["h0"], Segments: segments}
		keep := newKept(ends, s.Heads, s.Keys*s.Values)
		y, state = fixeddecay.Naive(s, keep.see)
		return y, keep.or(state)
	},
}

func scaledQuery(q *Node) *Node { return DivScalar(q, math.Sqrt(float64(q.Shape().Dim(-1)))) }

func (c opCase) scaledQuery() []float64 {
	q := append([]float64{}, c.values["q"]...)
	for i := range q {
		q[i] /= math.Sqrt(float64(c.file["q"].Shape[3]))
	}
	return q
}

func gatedOperands(in map[string]*Node) vectorgate.Operands {
	op := vectorgate.Operands{Q: scaledQuery(in["q"]), K: in["k"], V: in["v"], LogDecay: in["g"], Initial: in["h0"]}
	switch {
	case in["gk"] != nil:
		op.LogDecay = vectorgate.LogSigmoid(in["gk"], 16)
	case in["f"] != nil:
		op.LogDecay, op.K = vectorgate.Forget(in["f"], in["lower_bound"])
	}
	return op
}

// gates are log decay and key on the host.
func (c opCase) gates() (decay, key []float64) {
	for _, x := range c.values["gk"] {
		decay = append(decay, -softplus(-x)/16)
	}
	lower := c.values["lower_bound"]
	for i, f := range c.values["f"] {
		l := 0.0
		if lower != nil {
			l = lower[i%len(lower)]
		}
		key = append(key, (1-l)/(1+math.Exp(f)))
		if l > 0 {
			decay = append(decay, math.Log(l+(1-l)/(1+math.Exp(-f))))
		} else {
			decay = append(decay, -softplus(-f))
		}
	}
	if decay == nil {
		decay = c.values["g"]
	}
	if key == nil {
		key = c.values["k"]
	}
	return decay, key
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// eachEnd joins the states after the documents.
func (c opCase) eachEnd(upTo func(end int) *Node) *Node {
	var states []*Node
	for _, end := range c.documents[1:] {
		states = append(states, upTo(end))
	}
	return Concatenate(states, 0)
}

// tokenByToken runs a step over tokens of xs [batch, tokens, …].
func tokenByToken(in map[string]*Node, initial *Node, xs []*Node, step func(x []*Node, state *Node) (y, next *Node)) (y, state *Node) {
	if initial == nil {
		initial = ZerosLike(in["grad_state"])
	}
	var byToken []*Node
	for _, x := range xs {
		axes := []int{1, 0, 2, 3}
		byToken = append(byToken, TransposeAllAxes(x, axes[:x.Rank()]...))
	}
	last, ys := xla.Scan{N: xs[0].Shape().Dim(1), Infer: true}.Run([]*Node{initial}, byToken, nil, func(_ *xla.Iter, carry, x, _ []*Node) (next, ys []*Node) {
		y, s := step(x, carry[0])
		return []*Node{s}, []*Node{y}
	})
	return TransposeAllAxes(ys[0], 1, 0, 2, 3), last[0]
}

// kept are the states after the last tokens of documents, [documents, heads, …].
type kept struct {
	at     map[int]int
	heads  int
	size   int
	states []float64
}

func newKept(ends []int, heads, size int) *kept {
	k := &kept{at: map[int]int{}, heads: heads, size: size, states: make([]float64, len(ends)*heads*size)}
	for i, end := range ends {
		k.at[end] = i
	}
	return k
}

func (k *kept) see(_, token, head int, state []float64) {
	if i, is := k.at[token]; is {
		copy(k.states[(i*k.heads+head)*k.size:], state)
	}
}

// or is what was kept, or the last state where there were no documents.
func (k *kept) or(last []float64) []float64 {
	if len(k.at) == 0 {
		return last
	}
	return k.states
}
