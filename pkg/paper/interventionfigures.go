package paper

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// drawn is the key of a mean over draws of heads.
type drawn struct {
	model, set string
	dose       float64
}

// dosePoint is one model under a bound.
type dosePoint struct {
	Model string  `parquet:"model" doc:"model"`
	Set   string  `parquet:"set" doc:"whose α is bounded: the two most retentive heads or two others"`
	Kept  float64 `parquet:"kept" doc:"upper bound on the share of a state that is kept over T tokens"`
	Loss  float64 `parquet:"loss" doc:"loss at repeats at the farthest position, nats"`
}

// doseFigure draws the far loss under upper bounds of α, in the chosen heads and in others of the same model.
func doseFigure(root string) (report.Figure, error) {
	t, err := table.Read(filepath.Join(root, "interventions", "dose.csv"))
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model", "set"}, []string{"dose", "multiple", "position", "loss"})
	if err != nil {
		return report.Figure{}, err
	}
	farthest := slices.Max(c.float["multiple"])
	sums, counts, order := map[drawn]float64{}, map[drawn]float64{}, []drawn(nil)
	T := 0.0
	for i, set := range c.text["set"] {
		if c.float["multiple"][i] != farthest || set == "none" {
			continue
		}
		T = c.float["position"][i] / farthest
		k := drawn{c.text["model"][i], set, c.float["dose"][i]}
		if counts[k] == 0 {
			order = append(order, k)
		}
		sums[k], counts[k] = sums[k]+c.float["loss"][i], counts[k]+1
	}
	sets := map[string]string{"chosen": "two most retentive heads", "random": "two others (mean of draws)"}
	var points []dosePoint
	for _, k := range order {
		points = append(points, dosePoint{strings.TrimPrefix(k.model, "recall-"), sets[k.set], math.Pow(k.dose, T), sums[k] / counts[k]})
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: fmt.Sprintf("At %.0f T; every model a panel, so that both sets are of the same model. At 1 nothing is bounded. A bound that a head keeps anyway changes nothing in it: at the bounds that help, the other heads are hardly touched.", farthest)},
		X:    figure.Axis{Column: "kept", Label: "Upper bound on what is kept over T", Unit: "share"},
		Y:    figure.Axis{Column: "loss", Label: "Far loss at repeats", Unit: "nat", Scale: figure.Log10}, Series: []string{"set"}, Panel: "model", PanelName: "%s", Across: 3,
	}, Table: table.Of(points)}, nil
}

// ownGrowthPoint is one set of heads of one model.
type ownGrowthPoint struct {
	Run    string  `parquet:"run" doc:"whether α was lowered or raised, and the model"`
	Set    string  `parquet:"set" doc:"the heads: chosen as they are, chosen and changed, others changed as much"`
	Growth float64 `parquet:"growth" doc:"largest state norm beyond T over the largest within, the larger of the set's two heads"`
}

// ownGrowthFigure draws how much the norms of the heads whose α is changed grow, at the largest shift.
func ownGrowthFigure(root string) (report.Figure, error) {
	t, err := table.Read(filepath.Join(root, "interventions", "matched.csv"))
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model", "direction", "set"}, []string{"shift", "growth"})
	if err != nil {
		return report.Figure{}, err
	}
	most := slices.Max(c.float["shift"])
	sets := map[string]string{"none": "two most retentive heads, as they are", "chosen": "the same, α changed", "control": "others, α changed as much"}
	var points []ownGrowthPoint
	for i, s := range c.text["set"] {
		if s != "none" && c.float["shift"][i] != most {
			continue
		}
		run := directions[c.text["direction"][i]] + ": " + strings.TrimPrefix(c.text["model"][i], "recall-")
		points = append(points, ownGrowthPoint{run, sets[s], c.float["growth"][i]})
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: fmt.Sprintf("Σ log α over T changed by %.2g. Growth of the set's own heads, the larger of two; every control set a point.", most)},
		Category: "run", Series: []string{"set"}, X: figure.Axis{Column: "growth", Label: "State norm, largest beyond T / within", Unit: "1", Scale: figure.Log2},
		Marks: []figure.Mark{limitMark("twice", 2)},
	}, Table: table.Of(points)}, nil
}

var directions = map[string]string{"lower": "lowered", "raise": "raised"}

// causeTitles spells out the substitutions of intervene.Causes.
var causeTitles = map[string]string{"hold delta": "Δ held", "hold b": "B held", "hold x": "x held", "hold b norm": "norm of B held", "hold x norm": "norm of x held",
	"a swap": "A exchanged", "dt bias swap": "bias of Δ exchanged", "ablate": "head ablated", "ablate random": "another head ablated"}

// causePoint is one model under a substitution.
type causePoint struct {
	Change string  `parquet:"change" doc:"what is held, exchanged or ablated"`
	Place  string  `parquet:"place" doc:"position, in training lengths"`
	Factor float64 `parquet:"factor" doc:"loss at repeats with the change over that without"`
}

// causesFigure draws what substitutions do to the loss within and far beyond T, paired by model.
func causesFigure(root string) (report.Figure, error) {
	t, err := table.Read(filepath.Join(root, "interventions", "causes.csv"))
	if err != nil {
		return report.Figure{}, err
	}
	multiples, err := t.Float("multiple")
	if err != nil {
		return report.Figure{}, err
	}
	methods, err := t.Text("method")
	if err != nil {
		return report.Figure{}, err
	}
	var points []causePoint
	seen := map[string]bool{"none": true}
	for _, m := range methods {
		if seen[m] {
			continue
		}
		seen[m] = true
		for _, at := range []float64{slices.Min(multiples), slices.Max(multiples)} {
			p, err := method(t, m, "loss", at)
			if err != nil {
				return report.Figure{}, err
			}
			for i := range p.with {
				points = append(points, causePoint{causeTitles[m], fmt.Sprintf("at %.0f T", at), p.with[i] / p.without[i]})
			}
		}
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "Loss with the change over that of the same model without; every model a point. Held: from T on, at the mean within. Exchanged: the most retentive head with the least retentive."},
		Category: "change", Series: []string{"place"}, X: figure.Axis{Column: "factor", Label: "Loss at repeats, with / without", Unit: "1", Scale: figure.Log2},
		Marks: []figure.Mark{limitMark("as it is", 1)},
	}, Table: table.Of(points)}, nil
}

// methodPoint is a mean over models at a position.
type methodPoint struct {
	Method string  `parquet:"method" doc:"mitigation"`
	Models string  `parquet:"models" doc:"the models as they are or under the method"`
	Times  float64 `parquet:"times" doc:"position, in training lengths"`
	Loss   float64 `parquet:"loss" doc:"geometric mean of the loss over models, nats"`
	band
}

// methodsFigure draws the loss by position under every method beside that of the same models without one.
func methodsFigure(root string) (report.Figure, error) {
	t, err := methodsTable(root)
	if err != nil {
		return report.Figure{}, err
	}
	multiples, err := t.Float("multiple")
	if err != nil {
		return report.Figure{}, err
	}
	names, err := t.Text("method")
	if err != nil {
		return report.Figure{}, err
	}
	slices.Sort(multiples)
	multiples = slices.Compact(multiples)
	var points []methodPoint
	seen := map[string]bool{"none": true}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, what := range []string{"as they are", "under the method"} {
			for _, m := range multiples {
				p, err := method(t, name, "loss", m)
				if err != nil {
					return report.Figure{}, err
				}
				v := p.with
				if what == "as they are" {
					v = p.without
				}
				logs := make([]float64, len(v))
				for i, x := range v {
					logs[i] = math.Log(x)
				}
				points = append(points, methodPoint{methodTitles[name], what, m, math.Exp(meanOf(logs).Value), band{slices.Min(v), slices.Max(v)}})
			}
		}
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Height: 0.8, Note: "Geometric mean over 3 models, shaded from the smallest to the largest. Where the parameter chosen on other sequences is the neutral one, both curves are the same."},
		X:    figure.Axis{Column: "times", Label: "Position", Unit: "T", Scale: figure.Log2},
		Y:    figure.Axis{Column: "loss", Label: "Loss", Unit: "nat", Scale: figure.Log10}, Lo: "low", Hi: "high", Series: []string{"models"}, Panel: "method", PanelName: "%s", Across: 3,
	}, Table: table.Of(points)}, nil
}
