package gateddeltanet

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/deltarule"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct{ Config }

var _ lm.Model = Model{}

// Block is r ← r + W_o (norm(y) ⊙ SiLU(W_g x)), and the MLP.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	return m.Outline.Block(l, r, func(x *Node) *Node { return m.mixer(l, x) })
}

func (m Model) mixer(l *stack.Layer, x *Node) *Node {
	q, k := stack.Heads(m.project(l, "q", x), m.Heads), stack.Heads(m.project(l, "k", x), m.Heads)
	q, k = deltarule.Unit(stack.Repeat(q, m.Values()/m.Heads)), deltarule.Unit(stack.Repeat(k, m.Values()/m.Heads))
	v := stack.Heads(m.project(l, "v", x), m.Values())
	beta := Sigmoid(l.Affine("attn.b_proj", x))
	if m.Negative {
		beta = MulScalar(beta, 2)
	}
	rate := Softplus(Add(l.Affine("attn.a_proj", x), l.PerRow(l.Param("attn.dt_bias"), 1)))
	beta, logAlpha := deltarule.Gates(l, beta, Neg(Mul(Exp(l.PerRow(l.Param("attn.A_log"), 1)), rate)))
	l.Probe(lm.Queries, func() *Node { return q })
	l.Probe(lm.Keys, func() *Node { return k })
	l.Probe(lm.Values, func() *Node { return v })

	op := delta.Rule(deltarule.Scaled(q), k, v, logAlpha, beta)
	if !m.Erase {
		op.Read = ZerosLike(op.Read)
	}
	y := deltarule.Mix(l, op, m.Chunk)
	y = stack.Flat(stack.RMSNorm(y, l.Weight("attn.o_norm.weight", y), m.Eps))
	if m.Gate {
		gate := stack.SiLU
		if m.Activation == "sigmoid" {
			gate = Sigmoid
		}
		y = Mul(y, gate(l.Affine("attn.g_proj", x)))
	}
	return l.Affine("attn.o_proj", y)
}

// project applies a projection, its short convolution if there is one, and SiLU.
func (m Model) project(l *stack.Layer, name string, x *Node) *Node {
	return stack.SiLU(fla.Project(l, name, m.Convolve, x))
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return m.Architecture() }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	keys, values := m.Heads*m.Key, m.Values()*m.Value()
	mixer := []lm.Spec{fla.Matrix("attn.q_proj", keys, m.Width), fla.Matrix("attn.k_proj", keys, m.Width), fla.Matrix("attn.v_proj", values, m.Width),
		fla.Matrix("attn.a_proj", m.Values(), m.Width), fla.Matrix("attn.b_proj", m.Values(), m.Width),
		fla.Vector("attn.A_log", m.Values()), fla.Vector("attn.dt_bias", m.Values())}
	if m.Convolve {
		mixer = append(mixer, fla.Filter("attn.q_conv1d", keys, m.Kernel), fla.Filter("attn.k_conv1d", keys, m.Kernel), fla.Filter("attn.v_conv1d", values, m.Kernel))
	}
	if m.Gate {
		mixer = append(mixer, fla.Matrix("attn.g_proj", values, m.Width))
	}
	mixer = append(mixer, fla.Vector("attn.o_norm.weight", m.Value()), fla.Matrix("attn.o_proj", m.Width, values))
	return m.Outline.Parameters(members, mixer)
}

// State lists "state" [layers, batch, heads, key, value] and the windows of the convolutions, conv_state.q, .k and .v.
func (m Model) State(batch int) []lm.Spec {
	specs := []lm.Spec{deltarule.StateSpec(m.Config.Layers, batch, m.Values(), m.Key, m.Value())}
	if m.Convolve {
		specs = append(specs, fla.Windows(m.Config.Layers, batch, m.Kernel, []string{"q", "k", "v"}, m.Heads*m.Key, m.Heads*m.Key, m.Values()*m.Value())...)
	}
	return specs
}

// OneWay says why the model has no sliding-window variant.
func (m Model) OneWay() string {
	if !m.Erase {
		return "the model without erasing is there to be compared, it has no method 3"
	}
	return deltarule.NoWindow
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return deltarule.Controls(m.Values(), true) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	return append(deltarule.Probes(), stack.WindowProbes(m.State(1)[1:])...)
}

func (m Model) layers() stack.Layers { return m.Outline.Stack(m, m.Block) }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.layers().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.layers().Logits(call, hidden) }

// Initial draws the parameters, see fla.Initial; A uniform below 16, softplus(dt_bias) log-uniform in [1e-3, 0.1].
func (m Model) Initial(seed uint64) map[string][]float32 {
	return fla.Initial(m.Parameters(1), m.InitRange, seed, func(name string, r *rand.Rand) func() float64 {
		switch name {
		case "attn.A_log":
			return func() float64 { return math.Log(max(16*r.Float64(), 1e-4)) }
		case "attn.dt_bias":
			return func() float64 { return fla.InverseSoftplus(r) }
		}
		return nil
	})
}
