package rwkv7

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/deltarule"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct{ Config }

var _ lm.Model = Model{}

// Block is the time mix and the channel mix, each behind a norm.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	out := m.timeMix(l, l.LayerNorm("attn_norm", r, m.Eps))
	l.Probe("mixer_out", func() *Node { return out })
	r = Add(r, out)
	ffn := m.channelMix(l, l.LayerNorm("ffn_norm", r, m.Eps))
	l.Probe("ffn_out", func() *Node { return ffn })
	return Add(r, ffn)
}

func (m Model) timeMix(l *stack.Layer, x *Node) *Node {
	xx := Sub(l.Shift("shift.att", x), x)
	mixed := func(j string) *Node { return Add(x, Mul(xx, l.PerRow(l.Param("attn.x_"+j), 1))) }
	narrow := func(j string, between func(*Node) *Node) *Node {
		return l.Affine("attn."+j+"_lora.lora.2", between(l.Affine("attn."+j+"_lora.lora.0", mixed(j))))
	}
	same := func(x *Node) *Node { return x }
	heads := func(x *Node) *Node { return stack.Heads(x, m.Heads()) }

	r, k, v := l.Affine("attn.r_proj", mixed("r")), l.Affine("attn.k_proj", mixed("k")), l.Affine("attn.v_proj", mixed("v"))
	logW := MulScalar(Sigmoid(narrow("w", Tanh)), -math.Exp(-0.5))
	a, g := Sigmoid(narrow("a", same)), narrow("g", Sigmoid)
	v = m.firstValues(l, v, Sigmoid(narrow("v", same)))

	kappa := unit(heads(Mul(k, l.PerRow(l.Param("attn.k_k"), 1))))
	k = heads(Mul(k, OnePlus(Mul(AddScalar(a, -1), l.PerRow(l.Param("attn.k_a"), 1)))))
	r, v, a = heads(r), heads(v), heads(a)
	a = l.Change("delta_scale", a, stack.PerHead(Mul))
	a = l.Change("delta_max", a, stack.PerHead(Min))
	op := delta.Operands{Q: r, K: l.Real(k), V: v, LogDecay: deltarule.Decay(l, heads(logW)), Erase: l.Real(Mul(kappa, a)), Read: kappa}
	for name, n := range map[string]*Node{lm.Queries: r, lm.Keys: k, lm.Values: v, "a": a, "kk": kappa, "g": g} {
		l.Probe(name, func() *Node { return n })
	}

	o := deltarule.Mix(l, op, m.Chunk)
	o = Mul(stack.Flat(stack.LayerNorm(o, nil, nil, m.HeadEps())), l.PerRow(l.Param("attn.g_norm.weight"), 1))
	o = Add(o, l.PerRow(l.Param("attn.g_norm.bias"), 1))
	own := ReduceAndKeep(Mul(Mul(r, k), l.Weight("attn.r_k", r)), ReduceSum, -1)
	return l.Affine("attn.o_proj", Mul(Add(o, stack.Flat(Mul(own, v))), g))
}

// values names the first layer's values, which are passed through the layers.
const values = "values of the first layer"

// firstValues stores the first layer's values and mixes them into those of later layers.
func (m Model) firstValues(l *stack.Layer, v, share *Node) *Node {
	first := Equal(l.Index, ZerosLike(l.Index))
	mixed := Add(v, Mul(Sub(l.Passed(values), v), share))
	isFirst := ConvertDType(first, v.DType())
	l.PassOn(values, Add(Mul(v, isFirst), Mul(l.Passed(values), OneMinus(isFirst))))
	return Add(Mul(v, isFirst), Mul(mixed, OneMinus(isFirst)))
}

func (m Model) channelMix(l *stack.Layer, x *Node) *Node {
	mixed := Add(x, Mul(Sub(l.Shift("shift.ffn", x), x), l.PerRow(l.Param("ffn.x_k"), 1)))
	return l.Affine("ffn.value", Square(MaxScalar(l.Affine("ffn.key", mixed), 0)))
}

// unit returns x / max(‖x‖, 1e-12) over the last axis.
func unit(x *Node) *Node {
	return Mul(x, Rsqrt(MaxScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-24)))
}

// layers has the norm of the embeddings, the final norm, and the values of the first layer, which go through all.
func (m Model) layers() stack.Layers {
	s := stack.Layers{Model: m, Block: m.Block,
		Leave: func(b *stack.Batch, r *Node) *Node { return b.LayerNorm("model.norm", r, m.Eps) },
		Pass:  func(_ *stack.Batch, r *Node) map[string]*Node { return map[string]*Node{values: ZerosLike(r)} }}
	if m.NormFirst {
		s.Enter = func(b *stack.Batch, r *Node) *Node { return b.LayerNorm(preNorm, r, m.Eps) }
	}
	return s
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return m.Architecture() }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// State lists "state" [layers, batch, heads, key, value] and the inputs of the last token to both mixes, shift.att and
// shift.ffn [layers, batch, width].
func (m Model) State(batch int) []lm.Spec {
	specs := []lm.Spec{deltarule.StateSpec(m.Config.Layers, batch, m.Heads(), m.Head, m.Head)}
	for _, name := range []string{"shift.att", "shift.ffn"} {
		specs = append(specs, lm.Spec{Name: name, Role: lm.Shift, Layered: true, Dims: []int{m.Config.Layers, batch, m.Width},
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel}})
	}
	return specs
}

// OneWay says why the model has no sliding-window variant.
func (Model) OneWay() string { return deltarule.NoWindow }

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control {
	list := deltarule.Controls(m.Heads(), true)
	list[0].Does, list[1].Does = "factor of a, the strength of the erasure", "upper bound of a"
	return list
}

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	key, wide := append(head, lm.Key), []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	list := deltarule.Probes(lm.Key)
	list[0] = lm.Probe{Name: "a", Axes: key, Does: "strength of the erasure"}
	list = append(list, lm.Probe{Name: "kk", Axes: key, Does: "κ, the direction that is erased"}, lm.Probe{Name: "g", Axes: wide, Does: "output gate"},
		lm.Probe{Name: "ffn_out", Axes: wide, Does: "what the channel mix adds to the residual stream"})
	for _, s := range m.State(1)[1:] {
		list = append(list, lm.Probe{Name: lm.States + "/" + s.Name, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel}, Does: "input of a mix at some tokens"},
			lm.Probe{Name: lm.Inputs + "/" + s.Name, Axes: wide, Does: "inputs of a mix, the carried one first"})
	}
	return list
}

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.layers().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.layers().Logits(call, hidden) }
