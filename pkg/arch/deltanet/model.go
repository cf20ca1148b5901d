package deltanet

import (
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

// Block is r ← r + W_o norm(y), and the MLP.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	return m.Outline.Block(l, r, func(x *Node) *Node { return m.mixer(l, x) })
}

func (m Model) mixer(l *stack.Layer, x *Node) *Node {
	q := stack.Heads(m.activate(m.project(l, "q", x)), m.Heads)
	k := stack.Heads(m.activate(m.project(l, "k", x)), m.Heads)
	v := stack.Heads(stack.SiLU(m.project(l, "v", x)), m.Heads)
	q, k = m.normalise(q), m.normalise(k)
	beta := OnesLike(ReduceMax(v, -1))
	if m.UseBeta {
		beta = Sigmoid(l.Affine("attn.b_proj", x))
	}
	if m.Negative {
		beta = MulScalar(beta, 2)
	}
	beta, _ = deltarule.Gates(l, beta, nil)
	l.Probe(lm.Queries, func() *Node { return q })
	l.Probe(lm.Keys, func() *Node { return k })
	l.Probe(lm.Values, func() *Node { return v })
	l.Probe(lm.LogAlpha, func() *Node { return ZerosLike(beta) })

	y := deltarule.Mix(l, delta.Rule(deltarule.Scaled(q), k, v, nil, beta), m.Chunk)
	y = stack.Flat(stack.RMSNorm(y, l.Weight("attn.o_norm.weight", y), m.Eps))
	if m.Gate {
		y = Mul(y, stack.SiLU(l.Affine("attn.g_proj", x)))
	}
	return l.Affine("attn.o_proj", y)
}

// project applies a projection and its short convolution.
func (m Model) project(l *stack.Layer, name string, x *Node) *Node {
	return fla.Project(l, name, m.Convolve, x)
}

func (m Model) activate(x *Node) *Node {
	switch m.Activation {
	case "silu":
		return stack.SiLU(x)
	case "relu":
		return MaxScalar(x, 0)
	case "elu": // elu(x) + 1
		return Where(GreaterThan(x, ZerosLike(x)), AddScalar(x, 1), Exp(MinScalar(x, 0)))
	}
	return x
}

func (m Model) normalise(x *Node) *Node {
	if m.Norm == "sum" {
		sum := ReduceAndKeep(x, ReduceSum, -1)
		if m.Activation == "relu" { // all may be 0
			sum = MaxScalar(sum, 1e-6)
		}
		return Div(x, sum)
	}
	return deltarule.Unit(x)
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
	keys, values := m.Heads*m.Key(), m.Heads*m.Value()
	mixer := []lm.Spec{fla.Matrix("attn.q_proj", keys, m.Width), fla.Matrix("attn.k_proj", keys, m.Width), fla.Matrix("attn.v_proj", values, m.Width)}
	if m.UseBeta {
		mixer = append(mixer, fla.Matrix("attn.b_proj", m.Heads, m.Width))
	}
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
	specs := []lm.Spec{deltarule.StateSpec(m.Config.Layers, batch, m.Heads, m.Key(), m.Value())}
	if m.Convolve {
		specs = append(specs, fla.Windows(m.Config.Layers, batch, m.Kernel, []string{"q", "k", "v"}, m.Heads*m.Key(), m.Heads*m.Key(), m.Heads*m.Value())...)
	}
	return specs
}

// OneWay says why the model has no sliding-window variant.
func (Model) OneWay() string { return deltarule.NoWindow }

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return deltarule.Controls(m.Heads, false) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	return append(deltarule.Probes(), stack.WindowProbes(m.State(1)[1:])...)
}

func (m Model) layers() stack.Layers { return m.Outline.Stack(m, m.Block) }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.layers().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.layers().Logits(call, hidden) }

// Initial draws the parameters at random, see fla.Initial.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return fla.Initial(m.Parameters(1), m.InitRange, seed, func(string, *rand.Rand) func() float64 { return nil })
}
