package gptneox

import (
	"fmt"
	"math"
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

// Block is attention and the MLP, each behind a norm, and side by side where residuals are parallel.
func (m Model) Block(l *stack.Layer, r *Node) *Node {
	qkv := l.Affine("attention.query_key_value", l.LayerNorm("input_layernorm", r, m.Eps)) // of each head q, k and v
	qkv = Reshape(qkv, l.Rows, l.Tokens, m.Heads, 3, m.head())
	part := func(i int) *Node { return Squeeze(SliceAxis(qkv, 3, AxisElem(i)), 3) }
	out := l.Affine("attention.dense", stack.Flat(attend.Mix(l, part(0), part(1), part(2), m.rotated(), m.Theta)))
	l.Probe("mixer_out", func() *Node { return out })
	after := Add(r, out)
	if !m.Parallel {
		r = after
	}
	x := l.LayerNorm("post_attention_layernorm", r, m.Eps)
	return Add(after, l.Affine("mlp.dense_4h_to_h", gelu(l.Affine("mlp.dense_h_to_4h", x))))
}

// gelu returns x Φ(x), where Φ is the standard normal distribution function.
func gelu(x *Node) *Node {
	return Mul(MulScalar(x, 0.5), OnePlus(Erf(MulScalar(x, math.Sqrt(0.5)))))
}

// Names of the parameters outside the layers.
const (
	embedding = "gpt_neox.embed_in.weight"
	finalNorm = "gpt_neox.final_layer_norm"
	head      = "embed_out.weight"
)

func (m Model) layers() stack.Layers {
	return stack.Layers{Model: m, Block: m.Block, Leave: func(b *stack.Batch, r *Node) *Node { return b.LayerNorm(finalNorm, r, m.Eps) }}
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
	norm := func(name string) {
		add(fla.Vector(name+".weight", c.Width))
		add(fla.Vector(name+".bias", c.Width))
	}
	norm("input_layernorm")
	norm("post_attention_layernorm")
	linear("attention.query_key_value", 3*c.Width, c.Width, c.Bias)
	linear("attention.dense", c.Width, c.Width, c.Bias)
	linear("mlp.dense_h_to_4h", c.Intermediate, c.Width, true)
	linear("mlp.dense_4h_to_h", c.Width, c.Intermediate, true)
	for _, part := range []string{".weight", ".bias"} {
		specs = append(specs, lm.Spec{Name: finalNorm + part, Dims: []int{members, c.Width}})
	}
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
	return fmt.Sprintf("gpt_neox.layers.%d.%s", layer, s.Name), s.Dims[2:]
}

// State lists the tensors of the cache, see attend.States.
func (m Model) State(batch int) []lm.Spec {
	return attend.States(m.Config.Layers, batch, m.Heads, m.head())
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
