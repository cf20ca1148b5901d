package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// tasks are what methods are chosen for: a column of the table of stuffed mitigate, and whether less is better.
var tasks = []struct {
	column, name string
	less         bool
}{{"loss", "loss", true}, {"recall", "recall", false}, {"recall_inside", "recall of pairs at most T old", false}, {"recall_outside", "recall of pairs older than T", false}}

// Decisions is which training-free method to take: for every length (in T) and task the one of the best mean among those
// under which all models gain, with the change (factor of the loss, points of recall), and what it costs within T (nats).
// Without such a method the row says none. Recall by age is measured beyond T once, not by length.
func Decisions(root string) (*table.Table, error) {
	t, err := methodsTable(root)
	if err != nil {
		return nil, err
	}
	multiples, err := t.Float("multiple")
	if err != nil {
		return nil, err
	}
	names, err := t.Text("method")
	if err != nil {
		return nil, err
	}
	lengths := slices.Compact(slices.Sorted(slices.Values(multiples)))
	var length, change, cost []float64
	var task, best []string
	var models []int64
	for _, at := range lengths {
		for _, what := range tasks {
			if at != lengths[len(lengths)-1] && (what.column == "recall_inside" || what.column == "recall_outside") {
				continue
			}
			chosen, value, price, n := "none", 0.0, 0.0, 0
			if what.less {
				value = 1
			}
			for _, name := range slices.Compact(slices.Clone(names)) {
				p, err := method(t, name, what.column, at)
				if err != nil || name == "none" {
					continue // not measured under this method
				}
				n = len(p.with)
				gains := func(x float64) bool { return x > 0 }
				each, mean := p.differences(), 100*meanOf(p.differences()).Value
				if what.less {
					gains = func(x float64) bool { return x < 0 }
					each, mean = p.factors(), math.Exp(meanOf(p.factors()).Value)
				}
				if slices.ContainsFunc(each, func(x float64) bool { return !gains(x) }) {
					continue
				}
				if better := mean < value; better == what.less && mean != value {
					near, err := method(t, name, "loss", lengths[0])
					if err != nil {
						return nil, err
					}
					chosen, value, price = name, mean, meanOf(near.differences()).Value
				}
			}
			if title, known := methodTitles[chosen]; known {
				chosen = title
			}
			length, task, best = append(length, at), append(task, what.name), append(best, chosen)
			change, cost, models = append(change, value), append(cost, price), append(models, int64(n))
		}
	}
	if len(length) == 0 {
		return nil, fmt.Errorf("the table of methods has no rows; make it with stuffed mitigate")
	}
	return table.New().AddFloat("length", length).AddText("task", task).AddText("method", best).AddFloat("change", change).AddFloat("cost", cost).AddInt("models", models), nil
}

// ThresholdTable is Thresholds of a study's models of one initial state under DefaultThresholds: rule, limit, failing,
// judged, unjudged, and along T and N the pairs for and against and the two-sided p-value.
func ThresholdTable(root, plan, policy string) (*table.Table, error) {
	models, err := Models(root, plan)
	if err != nil {
		return nil, err
	}
	rows, err := Thresholds(of(models, with(policy)), DefaultThresholds())
	if err != nil {
		return nil, err
	}
	var rule []string
	var limit, pT, pN []float64
	counts := make([][]int64, 7)
	for _, r := range rows {
		rule, limit, pT, pN = append(rule, r.Rule), append(limit, r.Limit), append(pT, r.AlongT.TwoSided), append(pN, r.AlongN.TwoSided)
		for i, v := range []int{r.Failing, r.Judged, r.Unjudged, r.AlongT.Agree, r.AlongT.Violate, r.AlongN.Agree, r.AlongN.Violate} {
			counts[i] = append(counts[i], int64(v))
		}
	}
	return table.New().AddText("rule", rule).AddFloat("limit", limit).AddInt("failing", counts[0]).AddInt("judged", counts[1]).AddInt("unjudged", counts[2]).
		AddInt("t_for", counts[3]).AddInt("t_against", counts[4]).AddFloat("t_p", pT).
		AddInt("n_for", counts[5]).AddInt("n_against", counts[6]).AddFloat("n_p", pN), nil
}
