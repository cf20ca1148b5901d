package intervene

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
)

// normLimit is method 2 for models that do not limit norms inside their graph: between pieces of Every tokens a head whose state has
// a larger Frobenius norm is scaled down.
type normLimit struct {
	every int
	norms []float64 // [layers × heads]
}

// betweenPieces takes the norms out of a method's plan; what is left of the plan acts in the graph.
func betweenPieces(m lm.Model, method Method) (*normLimit, Plan, error) {
	s, err := lm.StateOf(m, "")
	if err != nil {
		return nil, nil, fmt.Errorf("%s has no recurrent state whose norm could be limited: %w", m.Name(), err)
	}
	if _, average := m.(lm.Summarised); average {
		return nil, nil, fmt.Errorf("%s reads a quotient of its states, which a factor of both leaves as it is: a limit of their norm would change nothing", m.Name())
	}
	if n, _, _ := s.Matrices(); n != heads(m) {
		return nil, nil, fmt.Errorf("%s: %d matrices in a layer's state for %d heads", m.Name(), n, heads(m))
	}
	i := slices.IndexFunc(method.Plan, func(v Intervention) bool { return v.Kind == "norm_limit" })
	if i < 0 || len(method.Plan[i].Heads) > 0 || method.Plan[i].From > 0 || method.Plan[i].Until > 0 || len(method.Plan[i].Values) != m.Layers()*heads(m) {
		return nil, nil, fmt.Errorf("%s limits norms between pieces of tokens: give norm_limit one value for each of its %d heads, at all positions", m.Name(), m.Layers()*heads(m))
	}
	return &normLimit{method.NormEvery, method.Plan[i].Values}, slices.Delete(slices.Clone(method.Plan), i, i+1), nil
}

// request is req with the limit.
func (n *normLimit) request(m lm.Model, req lm.Request, tokens int) lm.Request {
	for at := n.every; at < tokens; at += n.every {
		req.Cuts = append(req.Cuts, at)
	}
	slices.Sort(req.Cuts)
	req.Between = func(after lm.State) (lm.State, error) { return n.apply(m, after) }
	return req
}

// apply scales the heads of the first recurrent state.
func (n *normLimit) apply(m lm.Model, state lm.State) (lm.State, error) {
	s, err := lm.StateOf(m, "")
	if err != nil {
		return nil, err
	}
	t := state[s.Name]
	dims := t.Shape().Dimensions
	v, err := lm.Float64s(t)
	if err != nil {
		return nil, err
	}
	v = slices.Clone(v)
	if head := s.Along(lm.HeadAxis); head >= 0 && head != 2 {
		return nil, fmt.Errorf("%s: heads are axis %d of state %s, want 2", m.Name(), head, s.Name)
	}
	heads, values, keys := s.Matrices()
	inner := values * keys
	for i := 0; i < len(v); i += inner {
		layer, h, sum := i/(dims[1]*heads*inner), i/inner%heads, 0.0
		for _, x := range v[i : i+inner] {
			sum += x * x
		}
		if limit := n.norms[layer*heads+h]; sum > limit*limit {
			factor := limit / math.Sqrt(sum)
			for j := i; j < i+inner; j++ {
				v[j] *= factor
			}
		}
	}
	scaled, err := lm.FromFloat64s(v, t.DType(), dims...)
	if err != nil {
		return nil, err
	}
	out := lm.State{}
	for name, t := range state {
		out[name] = t
	}
	out[s.Name] = scaled
	return out, nil
}
