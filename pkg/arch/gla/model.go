package gla

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gated"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/vectorgate"
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
	spread := func(x *Node) *Node { return stack.Repeat(stack.Heads(x, m.Heads/m.groups()), m.groups()) }
	q := stack.Heads(m.project(l, "q", x), m.Heads)
	k, v := spread(m.project(l, "k", x)), spread(m.project(l, "v", x))
	g := vectorgate.LogSigmoid(spread(l.Affine("attn.gk_proj.1", l.Affine("attn.gk_proj.0", x))), gateDivisor)
	if m.ClampMin != nil {
		g = MaxScalar(g, *m.ClampMin)
	}
	y := gated.Vector(l, vectorgate.Operands{Q: q, K: k, V: v, LogDecay: g}, 1/math.Sqrt(float64(m.Key())), m.Chunk)
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

// project applies a projection and, if enabled, its short convolution with SiLU.
func (m Model) project(l *stack.Layer, name string, x *Node) *Node {
	x = fla.Project(l, name, m.Convolve, x)
	if m.Convolve {
		x = stack.SiLU(x)
	}
	return x
}

// widths returns the widths of q, k and v.
func (m Model) widths() map[string]int {
	keys, values := m.Heads*m.Key(), m.Heads*m.Value()
	return map[string]int{"q": keys, "k": keys / m.groups(), "v": values / m.groups()}
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	values := m.Heads * m.Value()
	var mixer []lm.Spec
	for _, name := range []string{"q", "k", "v"} {
		mixer = append(mixer, fla.Matrix("attn."+name+"_proj", m.widths()[name], m.Width))
		if m.Convolve {
			mixer = append(mixer, fla.Filter("attn."+name+"_conv1d", m.widths()[name], m.Kernel))
		}
	}
	if m.Gate {
		mixer = append(mixer, fla.Matrix("attn.g_proj", values, m.Width))
	}
	mixer = append(mixer, fla.Matrix("attn.gk_proj.0", gateRank, m.Width), fla.Matrix("attn.gk_proj.1", m.widths()["k"], gateRank),
		fla.Vector("attn.gk_proj.1.bias", m.widths()["k"]))
	if m.Affine {
		mixer = append(mixer, fla.Vector(m.normName(), m.Value()))
	}
	return m.Outline.Parameters(members, append(mixer, fla.Matrix("attn.o_proj", m.Width, values)))
}

// State lists "state" [layers, batch, heads, key, value] and, with short convolutions, their windows conv_state.q, .k and .v.
func (m Model) State(batch int) []lm.Spec {
	specs := m.StateSpecs(m.Config.Layers, batch, m.Heads, m.Key(), m.Value())
	for _, name := range []string{"q", "k", "v"} {
		if m.Convolve {
			specs = append(specs, stack.WindowSpec("conv_state."+name, m.Config.Layers, batch, m.widths()[name], m.Kernel))
		}
	}
	return specs
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return gated.Controls(m.Heads, false) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	return append(gated.Probes(lm.Key), stack.WindowProbes(Model{Config: m.Config}.State(1)[1:])...)
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
