// Package report turns tables of traces and verdicts into figures: each function takes tables and returns the points with
// the spec that draws them, after the figures of Stuffed Mamba (arXiv 2410.07145, sections 3 and 4).
package report

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Figure is what a notebook draws.
type Figure struct {
	Spec  figure.Spec
	Table *table.Table
}

var nan = math.NaN()

const perOctave = 12 // points of a curve in every doubling of the position

// Curves of at most so many heads or channels stand in one panel.
const most = 8

var read = figure.Axis{Column: "read", Label: "Read", Unit: "tokens", Scale: figure.Log2}

// units and scales of the quantities of a trace.
func axisOf(quantity string) figure.Axis {
	a := figure.Axis{Column: "value", Label: title(quantity), Unit: "1", Scale: figure.Log10}
	switch quantity {
	case "mean", "top_share", "retention", "log_retention", "log_alpha", "x", "B", "C", "effective_rank", "stable_rank", "numerical_rank":
		a.Scale = figure.Linear
	}
	if quantity == "log_alpha" || quantity == "log_retention" {
		a.Unit = "nat"
	}
	return a
}

// titles are quantities of a trace in words.
var titles = map[string]string{
	"mean": "Mean of the state", "variance": "Variance of the state", "rms": "Root mean square of the state", "norm": "State norm",
	"absmax": "Largest magnitude", "top_share": "Share of the top channels", "delta": "Δ", "log_alpha": "log α", "retention": "Retention of the first token",
	"log_retention": "Log retention of the first token", "effective_rank": "Effective rank of the state", "stable_rank": "Stable rank of the state",
	"numerical_rank": "Singular values above 1 %", "x_norm": "Norm of x", "b_norm": "Norm of B", "c_norm": "Norm of C", "write_norm": "Norm of Δ x Bᵀ",
}

func title(quantity string) string {
	if t := titles[quantity]; t != "" {
		return t
	}
	return quantity
}

// named writes quantities in words.
func named(t *table.Table) *table.Table {
	for _, c := range t.Columns {
		if c.Name == "quantity" {
			for i, q := range c.Texts {
				c.Texts[i] = title(q)
			}
		}
	}
	return t
}

// AllHeads is a quantity of the states over the tokens read, one panel for every layer and head, averaged over prompts.
func AllHeads(states *table.Table, quantity string, trainLength int) (Figure, error) {
	t, err := trace.Curves(states, perOctave/2, quantity)
	if err != nil {
		return Figure{}, err
	}
	return Figure{figure.SmallMultiples{Size: figure.Size{Width: "double"}, X: read, Y: axisOf(quantity), Row: "layer", Column: "head",
		RowName: "Layer", ColName: "Head", Marks: []figure.Mark{figure.TrainLength(trainLength)}}, t}, nil
}

// CloseUp is quantities of heads of one layer, a panel for each quantity, with 95 % intervals over prompts where there are
// several.
func CloseUp(states *table.Table, layer int, heads []int, trainLength int, quantities ...string) (Figure, error) {
	some, err := pick(states, layer, heads)
	if err != nil {
		return Figure{}, err
	}
	t, err := trace.Curves(some, perOctave, quantities...)
	if err != nil {
		return Figure{}, err
	}
	y := figure.Axis{Column: "value", Label: fmt.Sprintf("Layer %d", layer), Unit: "1"}
	if len(quantities) == 1 {
		y = axisOf(quantities[0])
	}
	spec := figure.Curves{Size: figure.Size{Width: "double"}, X: read, Y: y, Series: []string{"head"}, Name: "head %s", Panel: "quantity",
		PanelName: "%s", Across: across(len(quantities)), FreeY: true, Marks: []figure.Mark{figure.TrainLength(trainLength)}}
	if several(t) {
		spec.Lo, spec.Hi = "low", "high"
	}
	return Figure{spec, named(t)}, nil
}

// pick keeps rows of heads of a layer.
func pick(states *table.Table, layer int, heads []int) (*table.Table, error) {
	layers, err := states.Int("layer")
	if err != nil {
		return nil, err
	}
	of, err := states.Int("head")
	if err != nil {
		return nil, err
	}
	some := states.Filter(func(row int) bool { return layers[row] == int64(layer) && slices.Contains(heads, int(of[row])) })
	if some.Rows() == 0 {
		return nil, fmt.Errorf("report: the table has no row of layer %d, heads %v", layer, heads)
	}
	return some, nil
}

// several tells whether every point is of enough prompts for an interval that says something.
func several(t *table.Table) bool {
	prompts, err := t.Int("prompts")
	return err == nil && len(prompts) > 0 && slices.Min(prompts) > 2
}

// across is how many of n panels stand side by side.
func across(n int) int {
	if n == 4 {
		return 2
	}
	return min(n, 3)
}

// Histogram is the entries of one head's state after the tokens at which they were counted (see trace.Histograms).
func Histogram(histograms *table.Table, layer, head int) (Figure, error) {
	some, err := pick(histograms, layer, []int{head})
	if err != nil {
		return Figure{}, err
	}
	return Figure{figure.Histograms{Size: figure.Size{Note: fmt.Sprintf("Layer %d, head %d", layer, head)}, Left: "left", Right: "right",
		X: figure.Axis{Label: "Entry of the state", Unit: "1"}, Count: figure.Axis{Column: "count", Label: "Entries", Unit: "1", Scale: figure.Log10},
		Series: []string{"position"}, Name: "after token %s"}, some}, nil
}

// HeadMap is a number for every layer and head.
func HeadMap(t *table.Table, column, label, scale string) Figure {
	return Figure{figure.HeatMap{X: figure.Axis{Column: "head", Label: "Head", Unit: "1"}, Y: figure.Axis{Column: "layer", Label: "Layer", Unit: "1"},
		Value: figure.Axis{Column: column, Label: label, Unit: "1", Scale: scale}}, t}
}
