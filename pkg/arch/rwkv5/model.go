package rwkv5

import (
	"math"
	"math/rand/v2"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/gated"
	"stuffed/pkg/arch/rwkv"
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

// mixes names the inputs of the time mix.
var mixes = []string{"key", "value", "receptance", "gate"}

func (m Model) block(l *stack.Layer, r *Node) *Node {
	mix := func(part string) func(x, before *Node, name string) *Node {
		return func(x, before *Node, name string) *Node { // μ x + (1 − μ) of the token before
			return Add(before, Mul(Sub(x, before), rwkv.Row(l, part+".time_mix_"+name)))
		}
	}
	return m.Block(l, r, func(x, before *Node) *Node {
		return m.timeMix(l, func(name string) *Node {
			return l.Product("attention."+name+".weight", mix("attention")(x, before, name))
		})
	}, mix("feed_forward"))
}

// timeMix is the mixer, given the projections of the mixed inputs.
func (m Model) timeMix(l *stack.Layer, project func(name string) *Node) *Node {
	heads := func(name string) *Node { return stack.Heads(project(name), m.Heads()) }
	r, k, v, g := heads("receptance"), heads("key"), heads("value"), stack.SiLU(project("gate"))
	l.Probe("g", func() *Node { return g })
	row := func(name string) *Node { return l.PerRow(l.Param("attention."+name), 0) } // [batch or 1, heads, keys]
	bonus := row("time_faaaa")
	if l.Members == 1 {
		bonus = Squeeze(bonus, 0)
	}
	decay := Add(InsertAxes(Neg(Exp(row("time_decay"))), 1), ZerosLike(k))
	o := gated.Vector(l, vectorgate.Operands{Q: r, K: k, V: v, LogDecay: decay, Bonus: bonus}, 1, m.Chunk)
	o = stack.Flat(stack.LayerNorm(MulScalar(o, 1/float64(m.Divisor)), nil, nil, 1e-5))
	o = Add(Mul(o, rwkv.Row(l, "attention.ln_x.weight")), rwkv.Row(l, "attention.ln_x.bias"))
	return l.Product("attention.output.weight", Mul(o, g))
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	return c.Outline.Parameters(members, c.Inner(), func(s *rwkv.Specs) {
		for _, name := range mixes {
			s.Vector("attention.time_mix_"+name, c.Width)
		}
		s.Vector("attention.time_decay", c.Heads(), c.Head)
		s.Vector("attention.time_faaaa", c.Heads(), c.Head)
		for _, name := range []string{"receptance", "key", "value", "gate"} {
			s.Matrix("attention."+name, c.Mix(), c.Width)
		}
		s.Matrix("attention.output", c.Width, c.Mix())
		s.Norm("attention.ln_x", c.Mix())
		s.Vector("feed_forward.time_mix_key", c.Width)
		s.Vector("feed_forward.time_mix_receptance", c.Width)
	})
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	return rwkv.Tensor(s, layer, strings.Contains(s.Name, "time_mix_"))
}

// Initial draws the parameters as BlinkDL's training does (RWKV-v5/src/model.py), see rwkv.Outline.Initial.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return m.Outline.Initial(m.Parameters(1), seed, func(e rwkv.Entry, _ *rand.Rand) (float64, bool) {
		switch {
		case e.Name == "attention.time_mix_value":
			return math.Pow(e.Place, e.Rest) + 0.3*e.Depth, true
		case e.Name == "attention.time_mix_receptance", e.Name == "attention.time_mix_gate":
			return math.Pow(e.Place, 0.5*e.Rest), true
		case strings.Contains(e.Name, "time_mix_"):
			return math.Pow(e.Place, e.Rest), true
		case e.Name == "attention.time_decay":
			return -6 + 5*math.Pow(float64(e.I)/math.Max(float64(m.Mix()-1), 1), 0.7+1.3*e.Depth), true
		case e.Name == "attention.time_faaaa":
			zigzag := 0.1 * (float64((e.I+1)%3) - 1)
			return e.Depth*(1-float64(e.I)/math.Max(float64(m.Mix()-1), 1)) + zigzag, true
		}
		return 0, false
	})
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return Kind }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// State lists "state" [layers, batch, heads, key, value] and the last inputs of both mixes, shift.att and shift.ffn [layers,
// batch, width].
func (m Model) State(batch int) []lm.Spec { return m.heads().State(m.Memory, batch) }

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return gated.Controls(m.Heads(), false) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe { return m.heads().Probes() }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.Stack(m, m.block).Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node {
	return m.Stack(m, m.block).Logits(call, hidden)
}
