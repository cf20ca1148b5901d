package mamba2_test

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// Tests call graphs by position: parameters, then what else they need.

func nodesOf(w *lm.Weights, in []*Node) (params map[string]*Node, rest []*Node) {
	return lm.ByName(w.Specs, in[:len(w.Specs)]), in[len(w.Specs):]
}

func byName(m mamba2.Model, state []*Node) map[string]*Node { return lm.ByName(m.State(1), state) }

func stateList(m mamba2.Model, state map[string]*Node) []*Node { return lm.InOrder(m.State(1), state) }

func argsOf(w *lm.Weights, more ...any) []any {
	var args []any
	for _, v := range w.Values {
		args = append(args, v)
	}
	return append(args, more...)
}
