package paper

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// suppressed asks of the paper's three training-free methods whether they lower the loss far beyond T, and what they cost at T:
// the table of stuffed mitigate in root/mitigations.
func (e evidence) suppressed() (Claim, error) {
	c := Claim{ID: "mitigations", Where: "v1 Fig. 9, v2 Fig. 4", Claim: "training-free methods suppress the failure at a cost in short contexts", Paper: "m_α 0.9999, m_B 0.75 best", Figure: "08_loss"}
	t, err := table.Read(filepath.Join(e.root, "mitigations", "table.csv"))
	if err != nil {
		return c, err
	}
	multiples, err := t.Float("multiple")
	if err != nil || len(multiples) == 0 {
		return c, orMissing(err, "rows")
	}
	near, far := slices.Min(multiples), slices.Max(multiples)
	at := func(method string, multiple float64) ([]float64, error) { // in the order of the models
		return floats(t, "loss", "method", method, "multiple", multiple)
	}
	before, err := at("none", far)
	if err != nil {
		return c, err
	}
	start, err := at("none", near)
	if err != nil {
		return c, err
	}
	var said []string
	lowered, raised, priced := 0, 0, 0
	names := []string{"rri", "state_norm", "window"}
	for k, method := range names {
		after, err := at(method, far)
		if err != nil {
			return c, err
		}
		cost, err := at(method, near)
		if err != nil {
			return c, err
		}
		if len(after) == 0 || len(after) != len(before) || len(cost) != len(start) {
			return c, orMissing(nil, "all models under "+method)
		}
		for i := range after {
			after[i] /= before[i]
			cost[i] -= start[i]
		}
		mean, least, most := spread(after)
		price, _, _ := spread(cost)
		said = append(said, fmt.Sprintf("method %d: × %.2g [%.2g, %.2g], cost %.2g nat", k+1, mean, least, most, price))
		if most < 1 {
			lowered++
		}
		if least >= 1 {
			raised++
		}
		if price > 0 {
			priced++
		}
	}
	c.Ours = fmt.Sprintf("loss at %g T, %d models, parameters chosen on other sequences; %s", far, len(before), strings.Join(said, "; "))
	c.Verdict = verdict(lowered == len(names) && priced > 0, raised == len(names))
	return c, nil
}
