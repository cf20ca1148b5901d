package mamba2

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
)

// Tests call graphs by position: parameters, then what else they need.

func nodesOf(w *lm.Weights, in []*Node) (params map[string]*Node, rest []*Node) {
	return lm.ByName(w.Specs, in[:len(w.Specs)]), in[len(w.Specs):]
}

func argsOf(w *lm.Weights, more ...any) []any {
	var args []any
	for _, v := range w.Values {
		args = append(args, v)
	}
	return append(args, more...)
}

func byName(m Model, state []*Node) map[string]*Node { return lm.ByName(m.State(1), state) }

func stateList(m Model, state map[string]*Node) []*Node { return lm.InOrder(m.State(1), state) }
