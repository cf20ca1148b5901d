package intervene

import (
	"context"
	"fmt"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// Swap exchanges decay A and dt_bias of two heads of a layer.
func Swap(a, b Head) Plan {
	return Plan{{Kind: "a_swap", Heads: []Head{a}, With: []Head{b}}, {Kind: "dt_bias_swap", Heads: []Head{a}, With: []Head{b}}}
}

// Patch holds what heads write, x, and their steps Δ at the means that these have over other texts, whose sequences are cut to the
// shortest: what the heads do on the text at hand, and what they would do without knowing it.
func Patch(ctx context.Context, m *models.Opened, from prompt.Texts, heads ...Head) (Plan, error) {
	if len(heads) == 0 {
		return nil, fmt.Errorf("patch: name the heads")
	}
	probes, err := eval.Probes(m, from)
	if err != nil {
		return nil, err
	}
	shortest := len(probes[0].IDs)
	for _, p := range probes {
		shortest = min(shortest, len(p.IDs))
	}
	rows := make([][]int32, len(probes))
	for i, p := range probes {
		rows[i] = p.IDs[:shortest]
	}
	means, err := InWindow(ctx, m.Runner, rows)
	if err != nil {
		return nil, err
	}
	var plan Plan
	for _, quantity := range []string{"x", "delta"} {
		if quantity == "delta" && !lm.HasProbe(m.Weights.Model, lm.Delta) {
			continue // no steps that depend on the text
		}
		v, err := means.Freeze(m.Weights.Model, quantity, heads, 0)
		if err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		plan = append(plan, v)
	}
	return plan, nil
}
