package paper

import (
	"cmp"
	"fmt"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// gapPoint is one model.
type gapPoint struct {
	Stream string  `parquet:"stream" doc:"recall stream that the model was trained on"`
	Size   string  `parquet:"size" doc:"state dimension N"`
	Excess float64 `parquet:"excess" doc:"loss far beyond the window minus that within, nats"`
}

// gapFigure draws every learned model of the two recall streams that was trained on 256 tokens from zero states. The windows are
// the same; the streams differ in how many tokens may pass before a pair returns.
func gapFigure(root string) (report.Figure, error) {
	models, err := Models(root, ForgetPlan, CapacityPlan)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, with("zero"), Model.Learned, func(m Model) bool { return m.T == 256 && (m.Plan == CapacityPlan || m.Heads == 8) })
	slices.SortStableFunc(models, func(a, b Model) int { return cmp.Or(cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.State, b.State)) })
	var points []gapPoint
	for _, m := range models {
		points = append(points, gapPoint{m.stream(), fmt.Sprintf("N %d", m.State), excess(m)})
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: fmt.Sprintf("Every model a point: trained on 256 tokens; from %g nat on (line) it fails.", limits.Excess)},
		Category: "stream", X: excessAxis, Series: []string{"size"}, Marks: []figure.Mark{limitMark("fails", limits.Excess)},
	}, Table: table.Of(points)}, nil
}
