package mamba2

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// unrolledStep is one token through the layers one after the other, each with parameters of its own that are cut out of
// the stacks before the loop over tokens: XLA on a CPU copies what it takes from a stack inside a loop before a product
// reads it. Nil where layers pass more on than the residual.
func (b *block) unrolledStep(params map[string]*Node) *lm.Step {
	if b.Decimate || b.members > 1 {
		return nil
	}
	b.unrolled = true
	s := &unrolledStep{block: b}
	var consts, once []*Node
	for _, spec := range b.Parameters(1) {
		if !spec.Layered {
			s.once, once = append(s.once, spec.Name), append(once, params[spec.Name])
			continue
		}
		s.layered = append(s.layered, spec.Name)
		for l := range b.Config.Layers {
			consts = append(consts, b.weight(xla.At(params[spec.Name], Const(params[spec.Name].Graph(), int32(l))), spec))
		}
	}
	return &lm.Step{Consts: append(consts, once...), Run: s.run}
}

type unrolledStep struct {
	*block
	layered, once []string // parameters of a layer and of the model, in the order of lm.Step.Consts
}

func (s *unrolledStep) run(consts []*Node, tokens *Node, state map[string]*Node) (logits *Node, after map[string]*Node) {
	specs := s.State(1)
	layers := s.Config.Layers
	params := map[string]*Node{}
	for i, name := range s.once {
		params[name] = consts[len(s.layered)*layers+i]
	}
	r := s.embed(params[embedding], InsertAxes(tokens, 1))
	next := lm.InOrder(specs, state)
	for l := range layers {
		layer := layerOf{params: map[string]*Node{}, it: &xla.Iter{I: Const(tokens.Graph(), int32(l))}}
		for i, name := range s.layered {
			layer.params[name] = consts[i*layers+l]
		}
		var own, after []*Node
		for _, x := range next {
			own = append(own, xla.At(x, layer.it.I))
		}
		r, after, _ = s.apply(&layer, r, own)
		for i, x := range after {
			next[i] = xla.Put(next[i], x, layer.it.I)
		}
	}
	hidden := rmsNorm(r, s.perRow(params[finalNorm], 1), s.Eps)
	return Squeeze(s.Logits(lm.Call{Params: params, Options: s.Options}, hidden), 1), lm.ByName(specs, next)
}
