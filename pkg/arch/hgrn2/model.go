package hgrn2

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gated"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/pkg/stack"
	"stuffed/xla"
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

// bounds is the lower bounds' parameter, outside the layers; bound is the value passed to a layer.
const (
	bounds = "model.lower_bounds"
	bound  = "lower bound"
)

// Block is r ← r + W_o norm(y), and the MLP.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	return m.Outline.Block(l, r, func(x *Node) *Node { return m.mixer(l, x) })
}

func (m Model) mixer(l *stack.Layer, x *Node) *Node {
	heads := func(x *Node) *Node { return stack.Heads(x, m.Count()) }
	q, f, v := heads(stack.SiLU(m.project(l, "q", x))), heads(m.project(l, "f", x)), heads(m.project(l, "i", x))
	var lower *Node // [(batch,) heads, keys]
	if m.Bounded {
		row := l.PerRow(l.Param(bound), 0)
		lower = Reshape(row, row.Shape().Dim(0), m.Count(), m.Key())
		if l.Members == 1 {
			lower = Squeeze(lower, 0)
		}
	}
	decay, k := vectorgate.Forget(f, lower)
	y := gated.Vector(l, vectorgate.Operands{Q: q, K: k, V: v, LogDecay: decay}, 1/math.Sqrt(float64(m.Key())), m.Chunk)
	y = stack.Flat(y)
	var weight *Node
	if m.Affine {
		weight = l.Weight("attn.g_norm.weight", y)
	}
	return l.Affine("attn.o_proj", stack.RMSNorm(y, weight, normEps))
}

// lower computes the layers' lower bounds [layers, members, width] from their parameter [members, layers, width].
func (m Model) lower(b *stack.Batch) map[string]*Node {
	if !m.Bounded {
		return nil
	}
	share := TransposeAllAxes(Softmax(b.Params[bounds], 1), 0, 2, 1) // [members, width, layers]
	sum := xla.RunningSum(share)
	sum = Sub(sum, SliceAxis(sum, 2, AxisRange(0, 1)))
	return map[string]*Node{bound: TransposeAllAxes(sum, 2, 0, 1)}
}

// project applies a projection and its short convolution.
func (m Model) project(l *stack.Layer, name string, x *Node) *Node {
	return fla.Project(l, name, m.Convolve, x)
}

// widths returns the widths of q, f and i.
func (m Model) widths() map[string]int {
	keys := m.Count() * m.Key()
	return map[string]int{"q": keys, "f": keys, "i": m.Width}
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	var mixer []lm.Spec
	for _, name := range []string{"q", "f", "i"} {
		mixer = append(mixer, fla.Matrix("attn."+name+"_proj", m.widths()[name], m.Width))
		if m.Convolve {
			mixer = append(mixer, fla.Filter("attn."+name+"_conv1d", m.widths()[name], m.Kernel))
		}
	}
	if m.Affine {
		mixer = append(mixer, fla.Vector("attn.g_norm.weight", m.Width))
	}
	specs := m.Outline.Parameters(members, append(mixer, fla.Matrix("attn.o_proj", m.Width, m.Width)))
	if m.Bounded {
		specs = append(specs, lm.Spec{Name: bounds, Dims: []int{members, m.Config.Layers, m.Width}})
	}
	return specs
}

// State lists "state" [layers, batch, heads, key, value] and, with short convolutions, their windows conv_state.q, .f and .i.
func (m Model) State(batch int) []lm.Spec {
	specs := m.StateSpecs(m.Config.Layers, batch, m.Count(), m.Key(), m.Value())
	for _, name := range []string{"q", "f", "i"} {
		if m.Convolve {
			specs = append(specs, stack.WindowSpec("conv_state."+name, m.Config.Layers, batch, m.widths()[name], m.Kernel))
		}
	}
	return specs
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return gated.Controls(m.Count(), false) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	return append(gated.Probes(lm.Key), stack.WindowProbes(Model{Config: m.Config}.State(1)[1:])...)
}

// Initial draws the parameters, see fla.Initial; lower bounds are 0.
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

func (m Model) stack() stack.Layers {
	s := m.Stack(m, m.Block)
	s.Extra = m.lower
	return s
}

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.stack().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.stack().Logits(call, hidden) }
