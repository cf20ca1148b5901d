package delta_test

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/delta"
	"stuffed/xla"
)

// gates are the kinds of decay, erasures those of what is erased.
var (
	gates    = []string{"no decay", "per head", "per channel"}
	erasures = []string{"delta rule", "own directions"}
)

// call is one call of the operator: of the delta rule where there is a beta, of the general form otherwise.
type call struct {
	delta.Dims
	gate                            string
	q, k, v, log, beta, erase, read []float64
	initial                         []float64
	segments                        []int32
}

// random makes a call with log decays between lo and hi. Keys that erase have norm 1, so that states stay bounded.
func random(seed uint64, d delta.Dims, gate, erasure string, lo, hi float64) call {
	r := rand.New(rand.NewPCG(seed, 7))
	tokens := d.Batch * d.Tokens * d.Heads
	c := call{Dims: d, gate: gate, q: normal(r, tokens*d.Key), k: normal(r, tokens*d.Key), v: normal(r, tokens*d.Value),
		initial: normal(r, d.Batch*d.Heads*d.Key*d.Value)}
	decays := map[string]int{"per head": tokens, "per channel": tokens * d.Key}[gate]
	for range decays {
		c.log = append(c.log, lo+(hi-lo)*r.Float64())
	}
	if erasure == "delta rule" {
		unit(c.k, d.Key)
		for range tokens {
			c.beta = append(c.beta, r.Float64())
		}
		return c
	}
	c.read = normal(r, tokens*d.Key)
	unit(c.read, d.Key)
	for _, x := range c.read {
		c.erase = append(c.erase, x*(0.1+0.9*r.Float64()))
	}
	return c
}

func normal(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

func unit(v []float64, size int) {
	for i := 0; i < len(v); i += size {
		norm := 0.0
		for _, x := range v[i : i+size] {
			norm += x * x
		}
		for j := range size {
			v[i+j] /= math.Sqrt(norm)
		}
	}
}

// sequence is the call for Naive.
func (c call) sequence() delta.Sequence {
	s := delta.Sequence{Dims: c.Dims, Q: c.q, K: c.k, V: c.v, LogDecay: c.log, Erase: c.erase, Read: c.read, Initial: c.initial}
	for _, id := range c.segments {
		s.Segments = append(s.Segments, int(id))
	}
	if c.beta == nil {
		return s
	}
	for i, k := range c.k {
		s.Erase = append(s.Erase, c.beta[i/c.Key]*k)
		switch c.gate {
		case "per head":
			k *= math.Exp(c.log[i/c.Key])
		case "per channel":
			k *= math.Exp(c.log[i])
		}
		s.Read = append(s.Read, k)
	}
	s.K = s.Erase
	return s
}

// inputs are the call's arrays in the order of operands; names say which.
func inputs[T float32 | float64](c call) (names []string, args []any) {
	add := func(name string, v []float64, dims ...int) {
		if v == nil {
			return
		}
		out := make([]T, len(v))
		for i := range v {
			out[i] = T(v[i])
		}
		names, args = append(names, name), append(args, tensors.FromFlatDataAndDimensions(out, dims...))
	}
	add("q", c.q, c.Batch, c.Tokens, c.Heads, c.Key)
	add("k", c.k, c.Batch, c.Tokens, c.Heads, c.Key)
	add("v", c.v, c.Batch, c.Tokens, c.Heads, c.Value)
	log := []int{c.Batch, c.Tokens, c.Heads, c.Key}
	if c.gate == "per head" {
		log = log[:3]
	}
	add("log", c.log, log...)
	add("beta", c.beta, c.Batch, c.Tokens, c.Heads)
	add("erase", c.erase, c.Batch, c.Tokens, c.Heads, c.Key)
	add("read", c.read, c.Batch, c.Tokens, c.Heads, c.Key)
	add("initial", c.initial, c.Batch, c.Heads, c.Key, c.Value)
	if c.segments != nil {
		names, args = append(names, "segments"), append(args, tensors.FromFlatDataAndDimensions(c.segments, c.Batch, c.Tokens))
	}
	return names, args
}

func operands(names []string, in []*Node) delta.Operands {
	by := map[string]*Node{}
	for i, name := range names {
		by[name] = in[i]
	}
	op := delta.Operands{Q: by["q"], K: by["k"], V: by["v"], LogDecay: by["log"], Erase: by["erase"], Read: by["read"]}
	if by["beta"] != nil {
		op = delta.Rule(by["q"], by["k"], by["v"], by["log"], by["beta"])
	}
	op.Initial, op.Segments = by["initial"], by["segments"]
	return op
}

// forms are compared with Naive, one by one, by every test of this package.
var forms = []struct {
	name   string
	chunks []int
	run    func(op delta.Operands, q int) (y, state *Node)
}{
	{"chunk", []int{4, 16, 64}, func(op delta.Operands, q int) (y, state *Node) {
		r := delta.Chunk(op, q)
		return r.Y, r.State
	}},
	{"step", []int{1}, func(op delta.Operands, _ int) (y, state *Node) { return stepwise(op) }},
}

// stepwise runs Step over the tokens; where a segment begins, the state is cleared.
func stepwise(op delta.Operands) (y, state *Node) {
	tokensFirst := func(x *Node) *Node {
		perm := []int{1, 0, 2, 3}
		return TransposeAllAxes(x, perm[:x.Rank()]...)
	}
	q, v := op.Q.Shape().Dimensions, op.V.Shape()
	state = op.Initial
	if state == nil {
		state = Zeros(op.Q.Graph(), shapes.Make(v.DType, q[0], q[2], q[3], v.Dim(3)))
	}
	kept := Ones(op.Q.Graph(), shapes.Make(v.DType, q[0], q[1]))
	if op.Segments != nil {
		before := ShiftWithScalar(op.Segments, 1, ShiftDirRight, 1, 0)
		kept = ConvertDType(Equal(op.Segments, before), v.DType)
	}
	xs := []*Node{kept, op.Q, op.K, op.V, op.Erase, op.Read}
	if op.LogDecay != nil {
		xs = append(xs, op.LogDecay)
	}
	for i := range xs {
		xs[i] = tokensFirst(xs[i])
	}
	last, ys := xla.Scan{N: q[1], Infer: op.Infer}.Run([]*Node{state}, xs, nil, func(_ *xla.Iter, c, x, _ []*Node) (next, ys []*Node) {
		one := delta.Operands{Q: x[1], K: x[2], V: x[3], Erase: x[4], Read: x[5], Initial: Mul(c[0], InsertAxes(x[0], -1, -1, -1))}
		if len(x) > 6 {
			one.LogDecay = x[6]
		}
		y, h := delta.Step(one)
		return []*Node{h}, []*Node{y}
	})
	return tokensFirst(ys[0]), last[0]
}
