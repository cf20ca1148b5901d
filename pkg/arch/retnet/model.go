package retnet

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gated"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct {
	Config
	gated.Memory
}

// Variant returns the model with a sliding window.
func (m Model) Variant(v lm.Variant) (_ lm.Model, err error) {
	m.Memory, err = m.Vary(m.Name(), v)
	return m, err
}

var _ lm.Model = Model{}

// Block is r ← r + W_o (norm(y) ⊙ SiLU(W_g x)), and the MLP.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	return m.Outline.Block(l, r, func(x *Node) *Node { return m.mixer(l, x) })
}

func (m Model) mixer(l *stack.Layer, x *Node) *Node {
	at := positions(l)
	turned := func(name string, heads int) *Node {
		return attention.Rotate(stack.Heads(l.Affine("attn."+name+"_proj", x), heads), at, m.Key(), theta)
	}
	q, k := turned("q", m.Heads), stack.Repeat(turned("k", m.Heads/m.groups()), m.groups())
	v := stack.Repeat(stack.Heads(l.Affine("attn.v_proj", x), m.Heads/m.groups()), m.groups())
	decay := ConvertDType(Const(x.Graph(), fixeddecay.Retention(m.Heads)), l.Gate)
	y := gated.Fixed(l, fixeddecay.Operands{Q: q, K: k, V: v, LogDecay: decay}, 1/math.Sqrt(float64(m.Key())), m.Chunk)
	return l.Affine("attn.o_proj", m.gate(l, x, y))
}

// gate returns norm(y) ⊙ SiLU(W_g x), per head.
func (m Model) gate(l *stack.Layer, x, y *Node) *Node {
	var weight *Node
	if m.Affine {
		weight = l.Weight(m.normName(), y)
	}
	y = stack.Flat(stack.RMSNorm(y, weight, m.Eps))
	if m.Gate {
		y = Mul(y, stack.SiLU(l.Affine("attn.g_proj", x)))
	}
	return y
}

func (m Model) normName() string {
	if m.Gate && m.Fused {
		return "attn.g_norm_swish_gate.weight"
	}
	return "attn.g_norm.weight"
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	keys, values := m.Heads*m.Key(), m.Heads*m.Value()
	mixer := []lm.Spec{fla.Matrix("attn.q_proj", keys, m.Width), fla.Matrix("attn.k_proj", keys/m.groups(), m.Width),
		fla.Matrix("attn.v_proj", values/m.groups(), m.Width)}
	if m.Gate {
		mixer = append(mixer, fla.Matrix("attn.g_proj", values, m.Width))
	}
	if m.Affine {
		mixer = append(mixer, fla.Vector(m.normName(), m.Value()))
	}
	return m.Outline.Parameters(members, append(mixer, fla.Matrix("attn.o_proj", m.Width, values)))
}

// State lists "state" [layers, batch, heads, key, value] and "position" [layers, batch], the number of tokens before.
func (m Model) State(batch int) []lm.Spec {
	return append(m.StateSpecs(m.Config.Layers, batch, m.Heads, m.Key(), m.Value()),
		lm.Spec{Name: position, Role: lm.Other, Layered: true, Dims: []int{m.Config.Layers, batch}, Axes: []lm.Axis{lm.Layer, lm.Batch}})
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return gated.Controls(m.Heads, true) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	return gated.Probes()
}

// Initial draws the parameters at random, see fla.Initial.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return fla.Initial(m.Parameters(1), m.InitRange, seed, func(string, *rand.Rand) func() float64 { return nil })
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return Kind }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.Stack(m, m.Block).Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node {
	return m.Stack(m, m.Block).Logits(call, hidden)
}
