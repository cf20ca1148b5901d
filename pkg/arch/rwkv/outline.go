// Package rwkv is what RWKV-4, RWKV-5 and RWKV-6 share: blocks of a time mix and a channel mix, each behind a LayerNorm and a shift
// by one token,
//
//	r ← r + time mix(ln1(r))      r ← r + σ(R x_r) ⊙ V relu(K x_k)²,  x = ln2(r)
//
// with the names of the files that transformers reads (RWKV/rwkv-4-*-pile, RWKV/v6-Finch-*-HF).
package rwkv

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// Names of the parameters outside the layers, and of the states.
const (
	Embedding = "rwkv.embeddings.weight"
	PreNorm   = "rwkv.blocks.0.pre_ln"
	Norm      = "rwkv.ln_out"
	Head      = "head.weight"
	ShiftTime = "shift.att"
	ShiftMix  = "shift.ffn"
)

// lastEps is ε of the last norm, which configurations cannot change.
const lastEps = 1e-5

// Outline is the common part of a configuration; the JSON names are those of config.json.
type Outline struct {
	Layers       int     `json:"num_hidden_layers"`
	Width        int     `json:"hidden_size"`
	Vocab        int     `json:"vocab_size"`
	Attention    int     `json:"attention_hidden_size"` // width of the time mix, 0 (null): hidden_size
	Intermediate int     `json:"intermediate_size"`     // of the channel mix, 0 (null): see Inner of each
	Eps          float64 `json:"layer_norm_epsilon"`
	Tied         bool    `json:"tie_word_embeddings"`
}

// Mix is the width of the time mix.
func (o Outline) Mix() int {
	if o.Attention > 0 {
		return o.Attention
	}
	return o.Width
}

// Validate returns an error that names the first field out of range; inner is the width of the channel mix.
func (o Outline) Validate(inner int) error {
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"num_hidden_layers", o.Layers, 1, 512}, {"hidden_size", o.Width, 1, 65536}, {"vocab_size", o.Vocab, 2, 1 << 20},
		{"attention_hidden_size", o.Mix(), 1, 65536}, {"intermediate_size", inner, 1, 1 << 20},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("config: %s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	if !(o.Eps > 0 && o.Eps < 1) {
		return fmt.Errorf("config: layer_norm_epsilon = %g is outside (0, 1)", o.Eps)
	}
	return nil
}

// Specs accumulates parameters in order.
type Specs struct {
	o       Outline
	members int
	All     []lm.Spec
}

// Matrix adds a projection's weight [out, in] of the layers, which weight decay acts on.
func (s *Specs) Matrix(name string, out, in int) {
	s.add(lm.Spec{Name: name + ".weight", Role: lm.Matrix, Decay: true, Dims: []int{out, in}})
}

// Narrow adds a low-rank matrix of the layers, without weight decay.
func (s *Specs) Narrow(name string, dims ...int) {
	s.add(lm.Spec{Name: name, Role: lm.Matrix, Dims: dims})
}

// Vector adds a parameter of the layers that is not a matrix.
func (s *Specs) Vector(name string, dims ...int) { s.add(lm.Spec{Name: name, Dims: dims}) }

// Norm adds weight and bias of a LayerNorm of the layers.
func (s *Specs) Norm(name string, width int) {
	s.Vector(name+".weight", width)
	s.Vector(name+".bias", width)
}

func (s *Specs) add(spec lm.Spec) {
	spec.Layered, spec.Dims = true, append([]int{s.o.Layers, s.members}, spec.Dims...)
	s.All = append(s.All, spec)
}

func (s *Specs) top(name string, role lm.Role, dims ...int) {
	s.All = append(s.All, lm.Spec{Name: name, Role: role, Decay: role != "", Dims: append([]int{s.members}, dims...)})
}

// Parameters are those around the time mix and the mixing vectors of the channel mix, which own adds.
func (o Outline) Parameters(members, inner int, own func(s *Specs)) []lm.Spec {
	s := &Specs{o: o, members: members}
	s.top(Embedding, lm.Embedding, o.Vocab, o.Width)
	s.top(PreNorm+".weight", "", o.Width)
	s.top(PreNorm+".bias", "", o.Width)
	s.Norm("ln1", o.Width)
	s.Norm("ln2", o.Width)
	own(s)
	s.Matrix("feed_forward.key", inner, o.Width)
	s.Matrix("feed_forward.receptance", o.Width, o.Width)
	s.Matrix("feed_forward.value", o.Width, inner)
	s.top(Norm+".weight", "", o.Width)
	s.top(Norm+".bias", "", o.Width)
	if !o.Tied {
		s.top(Head, lm.Head, o.Vocab, o.Width)
	}
	return s.All
}

// Shifts returns the specs of the last inputs to both mixes.
func (o Outline) Shifts(batch int) (specs []lm.Spec) {
	for _, name := range []string{ShiftTime, ShiftMix} {
		specs = append(specs, lm.Spec{Name: name, Role: lm.Shift, Layered: true, Dims: []int{o.Layers, batch, o.Width},
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel}})
	}
	return specs
}

// Probes lists the activations of the shifts and of the channel mix.
func Probes() (list []lm.Probe) {
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	for _, name := range []string{ShiftTime, ShiftMix} {
		list = append(list, lm.Probe{Name: lm.States + "/" + name, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel}, Does: "input of a mix at some tokens"},
			lm.Probe{Name: lm.Inputs + "/" + name, Axes: wide, Does: "inputs of a mix, the carried one first"})
	}
	return append(list, lm.Probe{Name: "ffn_out", Axes: wide, Does: "what the channel mix adds to the residual stream"})
}

// Stack builds the model around a block.
func (o Outline) Stack(m lm.Model, block func(l *stack.Layer, r *Node) *Node) stack.Layers {
	norm := func(name string, eps float64) func(b *stack.Batch, r *Node) *Node {
		return func(b *stack.Batch, r *Node) *Node {
			return stack.LayerNorm(r, b.PerRow(b.Params[name+".weight"], 1), b.PerRow(b.Params[name+".bias"], 1), eps)
		}
	}
	return stack.Layers{Model: m, Block: block, Enter: norm(PreNorm, o.Eps), Leave: norm(Norm, lastEps)}
}

// Block is r + time mix, and the channel mix with the vectors that its mix gives the shifted input.
func (o Outline) Block(l *stack.Layer, r *Node, time func(x, before *Node) *Node, mix func(x, before *Node, name string) *Node) *Node {
	x := LayerNorm(l, "ln1", r, o.Eps)
	out := time(x, l.Shift(ShiftTime, x))
	l.Probe("mixer_out", func() *Node { return out })
	r = Add(r, out)

	x = LayerNorm(l, "ln2", r, o.Eps)
	before := l.Shift(ShiftMix, x)
	k := Square(MaxScalar(l.Product("feed_forward.key.weight", mix(x, before, "key")), 0))
	gate := Sigmoid(l.Product("feed_forward.receptance.weight", mix(x, before, "receptance")))
	mixed := Mul(gate, l.Product("feed_forward.value.weight", k))
	l.Probe("ffn_out", func() *Node { return mixed })
	return Add(r, mixed)
}

// LayerNorm applies a LayerNorm whose weight and bias have the given name prefix.
func LayerNorm(l *stack.Layer, name string, x *Node, eps float64) *Node {
	return stack.LayerNorm(x, Row(l, name+".weight"), Row(l, name+".bias"), eps)
}

// Row returns a vector of the layer as [batch or 1, 1, n…].
func Row(l *stack.Layer, name string) *Node { return l.PerRow(l.Param(name), 1) }
