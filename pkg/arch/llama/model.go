package llama

import (
	"fmt"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/arch/attend"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct {
	Config
	attend.Memory
}

// Variant returns the model with a sliding-window cache.
func (m Model) Variant(v lm.Variant) (_ lm.Model, err error) {
	m.Memory, err = m.Vary(m.Name(), v)
	return m, err
}

var _ lm.Model = Model{}

// Block is attention and the MLP, each behind a norm.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	x := stack.RMSNorm(r, l.Weight("input_layernorm.weight", r), m.Eps)
	q := stack.Heads(l.Affine("self_attn.q_proj", x), m.Heads)
	k := stack.Heads(l.Affine("self_attn.k_proj", x), m.kvHeads())
	v := stack.Heads(l.Affine("self_attn.v_proj", x), m.kvHeads())
	out := l.Affine("self_attn.o_proj", stack.Flat(attend.Mix(l, q, k, v, m.head(), m.Theta)))
	l.Probe("mixer_out", func() *Node { return out })
	r = Add(r, out)
	x = stack.RMSNorm(r, l.Weight("post_attention_layernorm.weight", r), m.Eps)
	return Add(r, l.Affine("mlp.down_proj", Mul(stack.SiLU(l.Affine("mlp.gate_proj", x)), l.Affine("mlp.up_proj", x))))
}

// Names of the parameters outside the layers.
const (
	embedding = "model.embed_tokens.weight"
	finalNorm = "model.norm.weight"
	head      = "lm_head.weight"
)

func (m Model) layers() stack.Layers {
	return stack.Layers{Model: m, Block: m.Block, Leave: func(b *stack.Batch, r *Node) *Node {
		return stack.RMSNorm(r, b.PerRow(b.Params[finalNorm], 1), m.Eps)
	}}
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
	c := m.Config
	specs := []lm.Spec{{Name: embedding, Role: lm.Embedding, Dims: []int{members, c.Vocab, c.Width}, Decay: true}}
	add := func(s lm.Spec) {
		s.Dims, s.Layered, s.Decay = append([]int{c.Layers, members}, s.Dims...), true, s.Role != ""
		specs = append(specs, s)
	}
	linear := func(name string, out, in int, bias bool) {
		if add(fla.Matrix(name, out, in)); bias {
			add(fla.Vector(name+".bias", out))
		}
	}
	add(fla.Vector("input_layernorm.weight", c.Width))
	linear("self_attn.q_proj", c.Heads*c.head(), c.Width, c.Bias)
	linear("self_attn.k_proj", c.kvHeads()*c.head(), c.Width, c.Bias)
	linear("self_attn.v_proj", c.kvHeads()*c.head(), c.Width, c.Bias)
	linear("self_attn.o_proj", c.Width, c.Heads*c.head(), c.Bias)
	add(fla.Vector("post_attention_layernorm.weight", c.Width))
	linear("mlp.gate_proj", c.Intermediate, c.Width, c.MLPBias)
	linear("mlp.up_proj", c.Intermediate, c.Width, c.MLPBias)
	linear("mlp.down_proj", c.Width, c.Intermediate, c.MLPBias)
	specs = append(specs, lm.Spec{Name: finalNorm, Dims: []int{members, c.Width}})
	if !c.Tied {
		specs = append(specs, lm.Spec{Name: head, Role: lm.Head, Dims: []int{members, c.Vocab, c.Width}, Decay: true})
	}
	return specs
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	return fmt.Sprintf("model.layers.%d.%s", layer, s.Name), s.Dims[2:]
}

// State lists the tensors of the cache, see attend.States.
func (m Model) State(batch int) []lm.Spec {
	return attend.States(m.Config.Layers, batch, m.kvHeads(), m.head())
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control { return attend.Controls(m.Heads) }

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe { return attend.Probes() }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.layers().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.layers().Logits(call, hidden) }

// Initial draws the parameters: matrices and embeddings N(0, range²), norms 1, biases 0.
func (m Model) Initial(seed uint64) map[string][]float32 {
	return fla.Initial(m.Parameters(1), m.InitRange, seed, func(string, *rand.Rand) func() float64 { return nil })
}
