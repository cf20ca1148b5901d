package verify

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/recurrence/delta"
	"stuffed/xla"
)

// deltaKind are the delta rule without a decay, with one per head, and with one per key channel; gates may be raw:
// β = σ(b), g = −exp(A_log) softplus(a + dt_bias). y includes the factor key^−½.
var deltaKind = kind{
	name: "delta rule",
	holds: func(file map[string]*checkpoint.Tensor) bool {
		return file["k"] != nil && (file["beta"] != nil || file["b"] != nil)
	},
	leaves:  []string{"q", "k", "v", "g", "beta", "a", "A_log", "dt_bias", "b", "h0"},
	initial: "h0",
	chunk: func(c opCase, in map[string]*Node, segments, ends *Node, q int) (y, state *Node) {
		op := c.delta(in)
		op.Segments = segments
		r := delta.Chunk(op, q)
		if segments == nil {
			return r.Y, r.State
		}
		var states []*Node // by a call up to each end: the states of documents need gradients
		for _, end := range c.documents[1:] {
			states = append(states, delta.Chunk(upTo(op, end), q).State)
		}
		return r.Y, Concatenate(states, 0)
	},
	step: func(c opCase, in map[string]*Node) (y, state *Node) {
		op := c.delta(in)
		if op.Initial == nil {
			op.Initial = ZerosLike(in["grad_state"])
		}
		xs := []*Node{op.Q, op.K, op.V, op.Erase, op.Read}
		if op.LogDecay != nil {
			xs = append(xs, op.LogDecay)
		}
		for i, x := range xs { // tokens first
			axes := []int{1, 0, 2, 3}
			xs[i] = TransposeAllAxes(x, axes[:x.Rank()]...)
		}
		last, ys := xla.Scan{N: op.Q.Shape().Dim(1), Infer: true}.Run([]*Node{op.Initial}, xs, nil, func(_ *xla.Iter, carry, x, _ []*Node) (next, ys []*Node) {
			one := delta.Operands{Q: x[0], K: x[1], V: x[2], Erase: x[3], Read: x[4], Initial: carry[0]}
			if len(x) > 5 {
				one.LogDecay = x[5]
			}
			y, h := delta.Step(one)
			return []*Node{h}, []*Node{y}
		})
		return TransposeAllAxes(ys[0], 1, 0, 2, 3), last[0]
	},
	naive: naiveDelta,
}

// delta are the operands of a case.
func (c opCase) delta(in map[string]*Node) delta.Operands {
	q, k, log, beta := in["q"], in["k"], in["g"], in["beta"]
	if in["a"] != nil {
		heads := in["A_log"].Shape().Dim(0)
		rate, bias := Reshape(Exp(in["A_log"]), 1, 1, heads), InsertAxes(in["dt_bias"], 0, 0)
		if in["a"].Rank() == k.Rank() {
			rate = InsertAxes(rate, -1)
		}
		log = Neg(Mul(rate, Softplus(Add(in["a"], bias))))
	}
	if in["b"] != nil {
		beta = Sigmoid(in["b"])
	}
	if c.normalise {
		unit := func(x *Node) *Node { return Div(x, Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-6))) }
		q, k = unit(q), unit(k)
	}
	op := delta.Rule(DivScalar(q, math.Sqrt(float64(q.Shape().Dim(-1)))), k, in["v"], log, beta)
	op.Initial = in["h0"]
	return op
}

// upTo is the call on the first tokens.
func upTo(op delta.Operands, end int) delta.Operands {
	for _, n := range []**Node{&op.Q, &op.K, &op.V, &op.LogDecay, &op.Erase, &op.Read, &op.Segments} {
		if *n != nil {
			*n = SliceAxis(*n, 1, AxisRange(0, end))
		}
	}
	return op
}

// naiveDelta is the rule token by token: decay, then the value under the key moves by β towards v.
func naiveDelta(c opCase, segments, ends []int) (y, state []float64) {
	shape, wide := c.file["k"].Shape, c.file["v"].Shape[3]
	d := delta.Dims{Batch: shape[0], Tokens: shape[1], Heads: shape[2], Key: shape[3], Value: wide}
	s := delta.Sequence{Dims: d, Q: c.unit("q"), K: c.unit("k"), V: c.values["v"], LogDecay: c.logDecay(), Initial: c.values["h0"], Segments: segments}
	beta := c.values["beta"]
	for _, b := range c.values["b"] {
		beta = append(beta, 1/(1+math.Exp(-b)))
	}
	key := s.K
	s.K, s.Read = make([]float64, len(key)), make([]float64, len(key))
	for i, k := range key {
		s.K[i], s.Read[i] = beta[i/d.Key]*k, k
		s.Q[i] /= math.Sqrt(float64(d.Key))
		switch len(s.LogDecay) {
		case len(key):
			s.Read[i] *= math.Exp(s.LogDecay[i])
		case len(beta):
			s.Read[i] *= math.Exp(s.LogDecay[i/d.Key])
		}
	}
	s.Erase = s.K
	size := d.Key * d.Value
	at := map[int]int{}
	for i, end := range ends {
		at[end] = i
	}
	states := make([]float64, len(ends)*d.Heads*size)
	y, state = delta.Naive(s, func(_, t, head int, h []float64) {
		if i, is := at[t]; is {
			copy(states[(i*d.Heads+head)*size:], h)
		}
	})
	if ends != nil {
		state = states
	}
	return y, state
}

// unit are the entries of q or k, of norm 1 where the case says so.
func (c opCase) unit(name string) []float64 {
	v, key := append([]float64{}, c.values[name]...), c.file[name].Shape[3]
	for i := 0; c.normalise && i < len(v); i += key {
		sum := 1e-6
		for _, x := range v[i : i+key] {
			sum += x * x
		}
		for j := range key {
			v[i+j] /= math.Sqrt(sum)
		}
	}
	return v
}

// logDecay is g, or what the raw gates make of it.
func (c opCase) logDecay() []float64 {
	if c.values["a"] == nil {
		return c.values["g"]
	}
	heads, bias := len(c.values["A_log"]), c.values["dt_bias"]
	channels := len(bias) / heads
	var out []float64
	for i, a := range c.values["a"] {
		x := a + bias[i%len(bias)]
		softplus := max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
		out = append(out, -math.Exp(c.values["A_log"][i/channels%heads])*softplus)
	}
	return out
}
