package lm

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"stuffed/xla"
)

// LoopBody is one step of a [Loop]: it reaches carry, xs and consts by name, puts the next carry under the names of the last, and
// under any names what is stacked over the steps.
type LoopBody func(it *xla.Iter, in In, next, ys *Out)

// Loop runs a [xla.Scan] by names. No two of carry, xs and consts may share one.
func Loop(s xla.Scan, carry, xs, consts Out, body LoopBody) (last, stacked In) {
	names := slices.Concat(carry.names, xs.names, consts.names)
	var made []string
	end, all := s.Run(carry.nodes, xs.nodes, consts.nodes, func(it *xla.Iter, c, x, k []*graph.Node) (_, _ []*graph.Node) {
		next, ys := &Out{}, &Out{}
		body(it, inOf(names, slices.Concat(c, x, k)), next, ys)
		made = ys.names
		return next.in(carry.names), ys.nodes
	})
	return inOf(carry.names, end), inOf(made, all)
}

// Once is a Loop of one step, without a loop; its body gets no Iter.
func Once(carry, xs Out, body LoopBody) (last, stacked In) {
	var rows, all []*graph.Node
	for _, x := range xs.nodes {
		rows = append(rows, graph.Squeeze(x, 0))
	}
	next, ys := &Out{}, &Out{}
	body(nil, inOf(slices.Concat(carry.names, xs.names), slices.Concat(carry.nodes, rows)), next, ys)
	for _, y := range ys.nodes {
		all = append(all, graph.InsertAxes(y, 0))
	}
	return inOf(carry.names, next.in(carry.names)), inOf(ys.names, all)
}

// inOf gives nodes their names.
func inOf(names []string, nodes []*graph.Node) In {
	in := In{names, map[string]*graph.Node{}}
	for i, name := range names {
		if in.of[name] != nil {
			panic(fmt.Errorf("lm: two nodes of a graph are called %q", name))
		}
		in.of[name] = nodes[i]
	}
	return in
}

// in lists what was put, in the order of names.
func (o *Out) in(names []string) (nodes []*graph.Node) {
	for _, name := range names {
		i := slices.Index(o.names, name)
		if i < 0 {
			panic(fmt.Errorf("lm: the body of a loop does not put %q of its carry; it puts %v", name, o.names))
		}
		nodes = append(nodes, o.nodes[i])
	}
	return nodes
}
