package stack

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Layer is what the block of one layer is given.
type Layer struct {
	*Batch
	Index                          *Node // number of the layer, int32 scalar
	Length, Segments, Ends, Offset *Node // see lm.Call; nil where the call has none

	it               *xla.Iter
	reduce           *lm.Reduction
	params, controls map[string]*Node
	state, after     map[string]*Node
	passed           map[string]*Node
	probes           map[string]func() *Node
	buckets          func(every int, length *Node) *Node
}

// Param is a parameter of the layer [members, …], or a value of Layers.Extra.
func (l *Layer) Param(name string) *Node {
	n := l.params[name]
	if n == nil {
		panic(fmt.Errorf("%s: the layer has no parameter %s", l.Model.Name(), name))
	}
	return n
}

// State is a part of the state before the tokens of the call [batch, …].
func (l *Layer) State(name string) *Node {
	n := l.state[name]
	if n == nil {
		panic(fmt.Errorf("%s: the layer has no state %s", l.Model.Name(), name))
	}
	return n
}

// SetState says what a part of the state is after the tokens of the call.
func (l *Layer) SetState(name string, n *Node) {
	l.after[name] = ConvertDType(n, l.State(name).DType())
}

// Passed is what the layer before handed on, see Layers.Pass; PassOn replaces it for the next.
func (l *Layer) Passed(name string) *Node { return l.passed[name] }

// PassOn replaces what the next layer gets.
func (l *Layer) PassOn(name string, n *Node) { l.passed[name] = n }

// Has tells whether a control is given.
func (l *Layer) Has(control string) bool { return l.controls[control] != nil }

// Keep stores a value for the backward instead of computing it again, where Options.Save says so: "none", "proj" (what is called
// so, the products at the entrance of a layer) or all.
func (l *Layer) Keep(what string, n *Node) *Node {
	if l.Infer || l.Save == "none" || l.Save == "proj" && what != "proj" {
		return n
	}
	return l.it.Save(n)
}

// Probe offers a quantity of lm.Model.Probes; value is only called where it is asked for.
func (l *Layer) Probe(name string, value func() *Node) { l.probes[name] = value }

// ProbeState offers the probes of a recurrent state: its sums of entries and of squares after every token, float64 [batch, tokens,
// heads], and the state after tokens int32 [n], [n, batch, …].
func (l *Layer) ProbeState(name string, sum, squares func() *Node, at func(ends *Node) *Node) {
	l.Probe(lm.Of(lm.Sum, l.Model, name), sum)
	l.Probe(lm.Of(lm.Squares, l.Model, name), squares)
	l.Probe(lm.Of(lm.States, l.Model, name), func() *Node { return l.reduced(at(l.Ends)) })
}

// reduced are states [n, …], or what the call's reduction makes of them.
func (l *Layer) reduced(states *Node) *Node {
	if l.reduce != nil && l.reduce.States != nil {
		return l.reduce.States(states)
	}
	return states
}

// watch makes the probes of the call, or what the call's reduction makes of them.
func (l *Layer) watch(names []string) (out []*Node) {
	named := map[string]*Node{}
	var instead []string
	if l.reduce != nil && l.reduce.Statistics != nil && l.buckets != nil {
		if all := l.buckets(l.reduce.Every, l.Length); all != nil {
			named["statistics"], instead = all, l.reduce.Statistics
		}
	}
	for _, name := range names {
		if slices.Contains(instead, name) {
			continue
		}
		value := l.probes[name]
		if value == nil {
			panic(fmt.Errorf("%s: probe %q is not offered by the layer", l.Model.Name(), name))
		}
		named[name] = value()
		out = append(out, named[name])
	}
	if l.reduce != nil {
		return l.reduce.Layer(named, l.Length)
	}
	return out
}
