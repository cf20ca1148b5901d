package rwkv6

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

// mixes are the inputs of the time mix in the order of time_maa_w1 and time_maa_w2.
var mixes = []string{"w", "k", "v", "r", "g"}

func (m Model) block(l *stack.Layer, r *Node) *Node {
	return m.Block(l, r, func(x, before *Node) *Node { return m.timeMix(l, x, Sub(before, x)) },
		func(x, before *Node, name string) *Node {
			return Add(x, Mul(Sub(before, x), rwkv.Row(l, "feed_forward.time_maa_"+name[:1])))
		})
}

// timeMix is the mixer; xx is the previous token's input minus x.
func (m Model) timeMix(l *stack.Layer, x, xx *Node) *Node {
	mixed := m.mixed(l, x, xx)
	product := func(name, of string) *Node { return l.Product("attention."+name+".weight", mixed[of]) }
	heads := func(x *Node) *Node { return stack.Heads(x, m.Heads()) }
	r, k, v := heads(product("receptance", "r")), heads(product("key", "k")), heads(product("value", "v"))
	g := stack.SiLU(product("gate", "g"))
	l.Probe("g", func() *Node { return g })

	low := Tanh(narrow(l, mixed["w"], "attention.time_decay_w1"))
	decay := Neg(Exp(Add(rwkv.Row(l, "attention.time_decay"), narrow(l, low, "attention.time_decay_w2"))))
	bonus := l.PerRow(l.Param("attention.time_faaaa"), 0)
	if l.Members == 1 {
		bonus = Squeeze(bonus, 0)
	}
	o := gated.Vector(l, vectorgate.Operands{Q: r, K: k, V: v, LogDecay: heads(decay), Bonus: bonus}, 1, m.Chunk)
	o = stack.Flat(stack.LayerNorm(o, nil, nil, 1e-5*float64(m.Divisor*m.Divisor)))
	o = Add(Mul(o, rwkv.Row(l, "attention.ln_x.weight")), rwkv.Row(l, "attention.ln_x.bias"))
	return l.Product("attention.output.weight", Mul(o, g))
}

// mixed are the five inputs: x_j = x + xx ⊙ (maa_j + z_j), z = tanh((x + xx ⊙ maa_x) W₁) by W₂ of each.
func (m Model) mixed(l *stack.Layer, x, xx *Node) map[string]*Node {
	z := Tanh(narrow(l, Add(x, Mul(xx, rwkv.Row(l, "attention.time_maa_x"))), "attention.time_maa_w1"))
	wide := l.Param("attention.time_maa_w2") // [members, 5, rank, width]
	out := map[string]*Node{}
	for j, name := range mixes {
		part := SliceAxis(z, -1, AxisRange(j*m.MixRank, (j+1)*m.MixRank))
		by := product(l, part, Squeeze(SliceAxis(wide, 1, AxisElem(j)), 1))
		out[name] = Add(x, Mul(xx, Add(rwkv.Row(l, "attention.time_maa_"+name), by)))
	}
	return out
}

// narrow multiplies x by a low-rank matrix of the layer, stored as [in, out].
func narrow(l *stack.Layer, x *Node, name string) *Node { return product(l, x, l.Param(name)) }

func product(l *stack.Layer, x, w *Node) *Node {
	return l.Linear(ConvertDType(x, l.Products), TransposeAllAxes(ConvertDType(w, l.Products), 0, 2, 1), l.Gate)
}

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	return c.Outline.Parameters(members, c.Inner(), func(s *rwkv.Specs) {
		for _, name := range append([]string{"x"}, mixes...) {
			s.Vector("attention.time_maa_"+name, c.Width)
		}
		s.Narrow("attention.time_maa_w1", c.Width, 5*c.MixRank)
		s.Narrow("attention.time_maa_w2", 5, c.MixRank, c.Width)
		s.Vector("attention.time_decay", c.Mix())
		s.Narrow("attention.time_decay_w1", c.Width, c.DecayRank)
		s.Narrow("attention.time_decay_w2", c.DecayRank, c.Mix())
		s.Vector("attention.time_faaaa", c.Heads(), c.Head)
		for _, name := range []string{"receptance", "key", "value", "gate"} {
			s.Matrix("attention."+name, c.Mix(), c.Width)
		}
		s.Matrix("attention.output", c.Width, c.Mix())
		s.Norm("attention.ln_x", c.Mix())
		s.Vector("feed_forward.time_maa_k", c.Width)
		s.Vector("feed_forward.time_maa_r", c.Width)
	})
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	vector := strings.Contains(s.Name, "time_maa_") && len(s.Dims) == 3 || s.Name == "attention.time_decay"
	return rwkv.Tensor(s, layer, vector)
}

// Initial draws the parameters as BlinkDL's training does (RWKV-v5/src/model.py), see rwkv.Outline.Initial.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return m.Outline.Initial(m.Parameters(1), seed, func(e rwkv.Entry, r *rand.Rand) (float64, bool) {
		_, mix, mixing := strings.Cut(e.Name, "time_maa_")
		switch {
		case mix == "w1", e.Name == "attention.time_decay_w1":
			return 0, true
		case mix == "w2", e.Name == "attention.time_decay_w2":
			return (2*r.Float64() - 1) * 0.01, true
		case mix == "v":
			return 1 - math.Pow(e.Place, e.Rest) - 0.3*e.Depth, true
		case mix == "r" && e.Name[0] == 'a', mix == "g":
			return 1 - math.Pow(e.Place, 0.5*e.Rest), true
		case mixing:
			return 1 - math.Pow(e.Place, e.Rest), true
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
