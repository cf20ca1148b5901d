package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// tasks are the goals that a method may be chosen for: a column of the table written by stuffed mitigate, and whether less is
// better.
var tasks = []struct {
	column, name string
	less         bool
}{{"loss", "loss", true}, {"recall", "recall", false}, {"recall_inside", "recall of pairs at most T old", false}, {"recall_outside", "recall of pairs older than T", false}}

// Decision is one row of [Decisions].
type Decision struct {
	Length float64 `parquet:"length" doc:"position, in training lengths"`
	Task   string  `parquet:"task" doc:"what the method is chosen for"`
	Method string  `parquet:"method" doc:"the best mitigation under which all models gain, or none"`
	Change float64 `parquet:"change" doc:"factor of the loss, or points of recall; mean over models"`
	Cost   float64 `parquet:"cost" doc:"what the loss within T rises by, nats"`
	Models int     `parquet:"models" doc:"models that were measured"`
}

// Decisions says which training-free method to choose: for every length (in T) and task, the method with the best mean among
// those under which all models improve, with the change (factor of the loss, or points of recall) and its cost within T (nats).
// Where no method qualifies, the row says none. Recall by age is measured once beyond T, not by length.
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
	var rows []Decision
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
			rows = append(rows, Decision{at, what.name, chosen, value, price, n})
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the table of methods has no rows; make it with stuffed mitigate")
	}
	return table.Of(rows), nil
}

// ThresholdRow is what one rule says about the models of a study.
type ThresholdRow struct {
	Rule     string  `parquet:"rule" doc:"rule by which a model fails, see Rules"`
	Limit    float64 `parquet:"limit" doc:"its threshold"`
	Failing  int     `parquet:"failing" doc:"models that fail"`
	Judged   int     `parquet:"judged" doc:"models that the rule can judge"`
	Unjudged int     `parquet:"unjudged" doc:"models that it cannot"`
	TFor     int     `parquet:"t_for" doc:"pairs of models of which the one with the longer training length fails less"`
	TAgainst int     `parquet:"t_against" doc:"pairs of which it fails more"`
	TP       float64 `parquet:"t_p" doc:"two-sided p-value of these pairs"`
	NFor     int     `parquet:"n_for" doc:"pairs of models of which the one with the larger state fails more"`
	NAgainst int     `parquet:"n_against" doc:"pairs of which it fails less"`
	NP       float64 `parquet:"n_p" doc:"two-sided p-value of these pairs"`
}

// ThresholdTable evaluates [Thresholds] under [DefaultThresholds] on a study's models of one initial-state policy: a table of
// [ThresholdRow].
func ThresholdTable(root, plan, policy string) (*table.Table, error) {
	models, err := Models(root, plan)
	if err != nil {
		return nil, err
	}
	judged, err := Thresholds(of(models, with(policy)), DefaultThresholds())
	if err != nil {
		return nil, err
	}
	var rows []ThresholdRow
	for _, r := range judged {
		rows = append(rows, ThresholdRow{r.Rule, r.Limit, r.Failing, r.Judged, r.Unjudged,
			r.AlongT.Agree, r.AlongT.Violate, r.AlongT.TwoSided, r.AlongN.Agree, r.AlongN.Violate, r.AlongN.TwoSided})
	}
	return table.Of(rows), nil
}
