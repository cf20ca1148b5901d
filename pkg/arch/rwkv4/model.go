package rwkv4

import (
	"math"
	"math/rand/v2"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/rwkv"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/logsum"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct{ Config }

var _ lm.Summarised = Model{}

func (m Model) block(l *stack.Layer, r *Node) *Node {
	mix := func(part string) func(x, before *Node, name string) *Node {
		return func(x, before *Node, name string) *Node { // μ x + (1 − μ) of the token before
			return Add(before, Mul(Sub(x, before), rwkv.Row(l, part+".time_mix_"+name)))
		}
	}
	return m.Block(l, r, func(x, before *Node) *Node {
		project := func(name string) *Node {
			return l.Product("attention."+name+".weight", mix("attention")(x, before, name))
		}
		gate := Sigmoid(project("receptance"))
		l.Probe("r", func() *Node { return gate })
		y := m.average(l, project("key"), project("value"))
		return l.Product("attention.output.weight", Mul(gate, y))
	}, mix("feed_forward"))
}

// average runs the recurrence from the layer's state and stores the new state.
func (m Model) average(l *stack.Layer, k, v *Node) *Node {
	all := func(name string, x *Node, with func(x, y *Node) *Node) *Node {
		return l.Change(name, x, stack.PerHead(with))
	}
	k = all("b_scale", k, func(x, y *Node) *Node { return Add(x, Log(y)) })
	before := logsum.State{Num: l.State("num"), Den: l.State("den"), Max: l.State("max")}.Filled()
	decay := Neg(Exp(l.PerRow(l.Param("attention.time_decay"), 0)))
	op := logsum.Operands{K: k, V: v, LogDecay: decay, Bonus: l.PerRow(l.Param("attention.time_first"), 0), Initial: &before,
		Segments: l.Segments, Length: l.Length, Infer: l.Infer}
	if l.Members == 1 {
		op.LogDecay, op.Bonus = Squeeze(op.LogDecay, 0), Squeeze(op.Bonus, 0)
	}
	m.show(l, op)
	var y *Node
	var state logsum.State
	if l.Tokens == 1 && l.Infer && l.Segments == nil && l.Length == nil {
		y, state = logsum.Step(Squeeze(k, 1), Squeeze(v, 1), op.LogDecay, op.Bonus, before)
		y = InsertAxes(y, 1)
	} else {
		chunk := m.Chunk
		if l.Chunk > 0 {
			chunk = min(chunk, l.Chunk) // every pair of tokens of a chunk is formed
		}
		y, state = logsum.Chunk(op, chunk)
	}
	l.SetState("num", state.Num)
	l.SetState("den", state.Den)
	l.SetState("max", state.Max)
	y = all("y_scale", y, Mul)
	l.Probe("wkv", func() *Node { return y })
	return y
}

// show registers the probes of the recurrence.
func (m Model) show(l *stack.Layer, op logsum.Operands) {
	var both []*Node
	moment := func(i int) func() *Node {
		return func() *Node {
			if both == nil {
				sum, squares := op.Moments()
				both = []*Node{sum, squares}
			}
			return both[i]
		}
	}
	l.Probe(lm.Sum, moment(0))
	l.Probe(lm.Squares, moment(1))
	part := func(name string, of func(s logsum.State) *Node) {
		l.Probe(lm.Of(lm.States, m, name), func() *Node { return of(op.StatesAt(l.Ends)) })
	}
	part("num", func(s logsum.State) *Node { return s.Num })
	part("den", func(s logsum.State) *Node { return s.Den })
	part("max", func(s logsum.State) *Node { return s.Max })
	l.Probe(lm.Summary, func() *Node {
		return op.Watch(func(s logsum.State) []*Node { return []*Node{s.Average()} })[0]
	})
	l.Probe(lm.LogAlpha, func() *Node {
		decay := op.LogDecay
		if decay.Rank() == 1 {
			decay = InsertAxes(decay, 0)
		}
		d := op.K.Shape().Dimensions
		return Add(InsertAxes(decay, 1, 1), ZerosLike(Reshape(op.K, d[0], d[1], 1, d[2])))
	})
	l.Probe(lm.Values, func() *Node { return InsertAxes(op.V, 2) })
	l.Probe("k", func() *Node { return op.K })
}

// Summary is what the state means to a reader: num / den, 0 where nothing was written.
func (m Model) Summary(state map[string]*Node) *Node {
	return logsum.State{Num: state["num"], Den: state["den"], Max: state["max"]}.Average()
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	return c.Outline.Parameters(members, c.Inner(), func(s *rwkv.Specs) {
		for _, name := range []string{"key", "value", "receptance"} {
			s.Vector("attention.time_mix_"+name, c.Width)
		}
		s.Vector("attention.time_decay", c.Mix())
		s.Vector("attention.time_first", c.Mix())
		for _, name := range []string{"key", "value", "receptance"} {
			s.Matrix("attention."+name, c.Mix(), c.Width)
		}
		s.Matrix("attention.output", c.Width, c.Mix())
		s.Vector("feed_forward.time_mix_key", c.Width)
		s.Vector("feed_forward.time_mix_receptance", c.Width)
	})
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	return rwkv.Tensor(s, layer, strings.Contains(s.Name, "time_mix_"))
}

// Initial draws the parameters as BlinkDL's training does (RWKV-v4neo/src/model.py), see rwkv.Outline.Initial.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return m.Outline.Initial(m.Parameters(1), seed, func(e rwkv.Entry, _ *rand.Rand) (float64, bool) {
		last := math.Max(float64(m.Mix()-1), 1)
		switch e.Name {
		case "attention.time_mix_key", "feed_forward.time_mix_key", "feed_forward.time_mix_receptance":
			return math.Pow(e.Place, e.Rest), true
		case "attention.time_mix_value":
			return math.Pow(e.Place, e.Rest) + 0.3*e.Depth, true
		case "attention.time_mix_receptance":
			return math.Pow(e.Place, 0.5*e.Rest), true
		case "attention.time_decay":
			return -5 + 8*math.Pow(float64(e.I)/last, 0.7+1.3*e.Depth), true
		case "attention.time_first":
			return math.Log(0.3) + 0.5*(float64((e.I+1)%3)-1), true
		case "attention.key.weight", "attention.receptance.weight":
			return 0, true
		}
		return 0, false
	})
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return m.Architecture() }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// State lists "num", "den" and "max" [layers, batch, channels], of which num·e^max and den·e^max mean anything, and the last inputs of
// both mixes, shift.att and shift.ffn [layers, batch, width]. Where den is 0 nothing was written, whatever max is.
func (m Model) State(batch int) (specs []lm.Spec) {
	for _, s := range []lm.Spec{{Name: "num", Role: lm.Recurrent}, {Name: "den", Role: lm.Other}, {Name: "max", Role: lm.Other}} {
		s.Layered, s.Dims, s.Axes = true, []int{m.Config.Layers, batch, m.Mix()}, []lm.Axis{lm.Layer, lm.Batch, lm.Channel}
		specs = append(specs, s)
	}
	return append(specs, m.Shifts(batch)...)
}

// OneWay says why the model has no sliding-window variant.
func (Model) OneWay() string {
	return "its sums are kept as logarithms of positive weights, from which nothing can be taken away (method 3)"
}

// Controls lists the quantities that interventions can change; all channels of a layer count as one head.
func (m Model) Controls() []lm.Control {
	list := []lm.Control{
		{Name: "b_scale", Neutral: 1, Does: "factor of e^k, the weight of what is written"},
		{Name: "y_scale", Neutral: 1, Does: "factor of what is read; 0 ablates the layer's time mix"},
	}
	for i := range list {
		list[i].Dims, list[i].Axes = []int{1}, []lm.Axis{lm.HeadAxis}
	}
	return list
}

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	one := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	at := []lm.Axis{lm.Position, lm.Batch, lm.Channel}
	return append([]lm.Probe{
		{Name: lm.LogAlpha, Axes: append(one[:3:3], lm.Value), Does: "w, the log of the decay of each channel, the same at every token"},
		{Name: lm.Sum, Axes: one, Does: "sum over the channels of num / den"},
		{Name: lm.Squares, Axes: one, Does: "sum of their squares"},
		{Name: lm.Summary, Axes: wide, Does: "num / den after every token"},
		{Name: lm.States, Axes: at, Does: "num after some tokens"},
		{Name: lm.States + "/den", Axes: at, Does: "den after some tokens"},
		{Name: lm.States + "/max", Axes: at, Does: "max after some tokens"},
		{Name: lm.Values, Axes: append(one[:3:3], lm.Value), Does: "v"},
		{Name: "k", Axes: wide, Does: "k, the log of the weight of a write"},
		{Name: "r", Axes: wide, Does: "σ(r), the gate of what is read"},
		{Name: "wkv", Axes: wide, Does: "what is read"},
		{Name: "mixer_out", Axes: wide, Does: "what the time mix adds to the residual stream"},
		{Name: lm.Residual, Axes: wide, Does: "residual stream after the block"},
	}, rwkv.Probes()...)
}

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.Stack(m, m.block).Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node {
	return m.Stack(m, m.block).Logits(call, hidden)
}
