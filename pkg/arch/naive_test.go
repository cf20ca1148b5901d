package arch_test

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/arch/gateddeltanet"
	"stuffed/pkg/lm"
	ssdop "stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/logsum"
	"stuffed/pkg/recurrence/selectivescan"
	"stuffed/pkg/recurrence/vectorgate"
)

// recurrence is that of one layer, token by token in float64: what it reads, and its states by name after the last token.
type recurrence func(l layer) (y []float64, state map[string][]float64)

// layer is what went into one layer of a pass and came out of it.
type layer struct {
	t       *testing.T
	index   int
	model   lm.Model
	weights *lm.Weights
	before  lm.State
	out     lm.PassOutput
}

// of is the layer's part of [layers, …].
func (l layer) of(x *tensors.Tensor) []float64 {
	l.t.Helper()
	if x == nil {
		return nil
	}
	all, err := lm.Float64s(x)
	if err != nil {
		l.t.Fatal(err)
	}
	size := len(all) / l.model.Layers()
	return all[l.index*size:][:size]
}

func (l layer) probe(name string) []float64 { return l.of(l.out.Probes[name]) }

// dims of a probe, [batch, tokens, …].
func (l layer) dims(name string) []int { return l.out.Probes[name].Shape().Dimensions[1:] }

func (l layer) state(name string) []float64 { return l.of(l.before[name]) }

// parameter of the layer, nil if there is none of the name.
func (l layer) parameter(name string) []float64 {
	for i, s := range l.weights.Specs {
		if s.Name == name {
			return l.of(l.weights.Values[i])
		}
	}
	return nil
}

// read is what the layer read of its state.
func (l layer) read() []float64 {
	for _, name := range []string{"y", "ssd", "ssm", "wkv"} {
		if v := l.probe(name); v != nil {
			return v
		}
	}
	l.t.Fatal("the model does not show what it reads")
	return nil
}

func (l layer) near(label string, got, want []float64) {
	l.t.Helper()
	if len(got) != len(want) {
		l.t.Fatalf("%s: %d values, want %d", label, len(got), len(want))
	}
	largest := 1e-9
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-11*largest) {
			l.t.Errorf("%s: value %d is %g, want %g", label, i, got[i], want[i])
			return
		}
	}
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = by * v[i]
	}
	return out
}

func exp(v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = math.Exp(v[i])
	}
	return out
}

// ssd is that of Mamba-2.
func ssd(l layer) ([]float64, map[string][]float64) {
	x, b := l.dims(lm.Values), l.dims(lm.Keys)
	y, h := ssdop.Naive(ssdop.Sequence{Dims: ssdop.Dims{Batch: x[0], Tokens: x[1], Heads: x[2], HeadDim: x[3], Groups: b[2], State: b[3]},
		X: l.probe(lm.Values), Delta: l.probe(lm.Delta), A: scaled(exp(l.parameter("mixer.A_log")), -1), B: l.probe(lm.Keys), C: l.probe(lm.Queries),
		D: l.parameter("mixer.D"), Initial: l.state("state")}, nil)
	return y, map[string][]float64{"state": h}
}

// selective is that of Mamba-1.
func selective(l layer) ([]float64, map[string][]float64) {
	x, b := l.dims(lm.Values), l.dims(lm.Keys)
	s := selectivescan.Sequence{Dims: selectivescan.Dims{Batch: x[0], Tokens: x[1], Channels: x[3], State: b[3]}, X: l.probe(lm.Values),
		Delta: l.probe(byChannel), A: scaled(exp(l.parameter("mixer.A_log")), -1), B: l.probe(lm.Keys), C: l.probe(lm.Queries), Initial: l.state("state")}
	y, h := selectivescan.Naive(s, nil)
	for i := range y {
		y[i] += l.parameter("mixer.D")[i%s.Channels] * s.X[i]
	}
	return y, map[string][]float64{"state": h}
}

// gate is that of GLA, HGRN-2, RetNet, RWKV-5 and RWKV-6: the last two read before they write, with a bonus, and do not scale q.
func gate(l layer) ([]float64, map[string][]float64) {
	k, v := l.dims(lm.Keys), l.dims(lm.Values)
	s := vectorgate.Sequence{Dims: vectorgate.Dims{Batch: k[0], Tokens: k[1], Heads: k[2], Keys: k[3], Values: v[3]}, Q: l.probe(lm.Queries),
		K: l.probe(lm.Keys), V: l.probe(lm.Values), LogDecay: l.probe(lm.LogAlpha), Bonus: l.parameter("attention.time_faaaa"), Initial: l.state("state")}
	if s.Bonus == nil {
		s.Q = scaled(s.Q, 1/math.Sqrt(float64(s.Keys)))
	}
	s.LogDecay = l.perKey(s.LogDecay, len(s.K))
	y, h := vectorgate.Naive(s, nil)
	return y, map[string][]float64{"state": h}
}

// perKey repeats one number of a head for every key.
func (l layer) perKey(v []float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v[i/(n/len(v))]
	}
	return out
}

// erase is that of DeltaNet, Gated DeltaNet, KDA and RWKV-7, which has a direction of its own to erase and does not scale q.
func erase(l layer) ([]float64, map[string][]float64) {
	k, v := l.dims(lm.Keys), l.dims(lm.Values)
	s := delta.Sequence{Dims: delta.Dims{Batch: k[0], Tokens: k[1], Heads: k[2], Key: k[3], Value: v[3]}, Q: l.probe(lm.Queries), V: l.probe(lm.Values),
		LogDecay: l.probe(lm.LogAlpha), Initial: l.state("state")}
	if kappa := l.probe("kk"); kappa != nil {
		s.K, s.Read, s.Erase = l.probe(lm.Keys), kappa, l.probe("a")
		for i := range s.Erase {
			s.Erase[i] *= kappa[i]
		}
	} else {
		s.Q = scaled(s.Q, 1/math.Sqrt(float64(s.Key)))
		beta, decay := l.perKey(l.probe(lm.Delta), len(s.Q)), make([]float64, len(s.Q))
		if s.LogDecay != nil {
			decay = l.perKey(s.LogDecay, len(s.Q))
		}
		for i, x := range l.probe(lm.Keys) {
			s.K, s.Read = append(s.K, beta[i]*x), append(s.Read, math.Exp(decay[i])*x)
		}
		s.Erase = s.K
		if c, is := l.model.Configuration().(gateddeltanet.Config); is && !c.Erase {
			s.Erase = make([]float64, len(s.K))
		}
	}
	y, h := delta.Naive(s, nil)
	return y, map[string][]float64{"state": h}
}

// average is that of RWKV-4.
func average(l layer) ([]float64, map[string][]float64) {
	k := l.dims("k")
	y, num, den, top := logsum.Naive(logsum.Sequence{Dims: logsum.Dims{Batch: k[0], Tokens: k[1], Channels: k[2]}, K: l.probe("k"), V: l.probe(lm.Values),
		LogDecay: scaled(exp(l.parameter("attention.time_decay")), -1), Bonus: l.parameter("attention.time_first"),
		Num: l.state("num"), Den: l.state("den"), Max: l.state("max")}, nil)
	return y, map[string][]float64{"num": num, "den": den, "max": top}
}

// cache is that of the transformers: keys are turned by their positions.
func cache(l layer) ([]float64, map[string][]float64) {
	q, k := l.dims(lm.Queries), l.dims(lm.Keys)
	rotated, theta := q[3], 10000.0
	if l.model.Name() == "gpt-neox" {
		rotated = q[3] / 4
	}
	s := attention.Sequence{Dims: attention.Dims{Batch: q[0], Tokens: q[1], Heads: q[2], KVHeads: k[2], Key: q[3], Value: k[3]},
		Q: scaled(l.probe(lm.Queries), 1/math.Sqrt(float64(q[3]))), K: scaled(l.probe(lm.Keys), 1), V: l.probe(lm.Values), Room: l.before["kv.key"].Shape().Dim(3)}
	for _, n := range l.state("kv.length") {
		s.Held = append(s.Held, int(n))
	}
	s.Keys, s.Values = l.byPosition("kv.key", s), l.byPosition("kv.value", s)
	turn := func(x []float64, heads int) {
		for i := range len(x) / q[3] {
			at := i / heads
			attention.NaiveRotate(x[i*q[3]:][:q[3]], float64(s.Held[at/q[1]]+at%q[1]), rotated, theta)
		}
	}
	turn(s.Q, s.Heads)
	turn(s.K, s.KVHeads)
	y, _ := attention.Naive(s)
	return y, nil
}

// byPosition is a cache [batch, heads, positions, head] with the positions first.
func (l layer) byPosition(name string, s attention.Sequence) []float64 {
	v := l.state(name)
	out := make([]float64, len(v))
	for i := range v {
		e, p, h, b := i%s.Key, i/s.Key%s.Room, i/(s.Key*s.Room)%s.KVHeads, i/(s.Key*s.Room*s.KVHeads)
		out[((b*s.Room+p)*s.KVHeads+h)*s.Key+e] = v[i]
	}
	return out
}
