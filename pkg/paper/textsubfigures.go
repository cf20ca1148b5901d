package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/collapse"
	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

var stateAxis = figure.Axis{Column: "n_s", Label: "State of the model", Unit: "scalars", Scale: figure.Log2}

// textWaysPoint is one model.
type textWaysPoint struct {
	Panel  string  `parquet:"panel" doc:"training length"`
	Way    string  `parquet:"way" doc:"how the state was made larger: by N or by heads"`
	NS     float64 `parquet:"n_s" doc:"scalars of the state, moved aside by seed and way"`
	Excess float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
	band
}

// textWaysFigure draws the excess on newlines against N_S for both ways to enlarge a state.
func textWaysFigure(root string) (report.Figure, error) {
	all, err := textModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	models := ofKind(all, "newlines")
	var points []textWaysPoint
	for _, name := range []string{"8 heads, N 16 to 256", "4, 8 and 16 heads, N 32"} {
		heads := name[0] == '4'
		for _, m := range models {
			there := slices.ContainsFunc(models, func(o TextModel) bool { return o.in("heads") && o.T == m.T })
			if !there || heads && !(m.in("heads") || m.grid() && m.State == 32) || !heads && !m.grid() {
				continue
			}
			shift := 0.06*float64(m.Seed-1) - 0.14
			if heads {
				shift += 0.28
			}
			x := m.NS * 1e6 * math.Pow(2, shift) // seeds and ways side by side
			points = append(points, textWaysPoint{"T = " + figure.Length(float64(m.T)), name, x, m.Excess.Mean, band{m.Excess.Low, m.Excess.High}})
		}
	}
	if len(points) == 0 {
		return report.Figure{}, notRun(all, "heads")
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Every model a point, with the bootstrap interval over its eight sequences; seeds and ways stand side by side."},
		X: stateAxis, Y: excessAxis, Lo: "low", Hi: "high", Series: []string{"way"}, Panel: "panel", PanelName: "%s", Across: 3, Scatter: true,
		Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}},
		Table: table.Of(points)}, nil
}

// textStatesPoint is one pair of models, or the mean over pairs.
type textStatesPoint struct {
	Models     string  `parquet:"models" doc:"initial states in training, N and T"`
	What       string  `parquet:"what" doc:"one seed or the mean"`
	Difference float64 `parquet:"difference" doc:"excess on newlines less that of the model from zero states, nats"`
	band
}

// textStatesFigure draws what carried and passed states change, seed by seed and over all pairs.
func textStatesFigure(root string) (report.Figure, error) {
	all, err := textModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	pairs, _ := textStates(all)
	if len(pairs) == 0 {
		return report.Figure{}, notRun(all, "carried", "passed")
	}
	var points []textStatesPoint
	for _, policy := range []string{"carried", "passed"} {
		var excess []float64
		for _, d := range pairs {
			if d.Policy == policy {
				excess = append(excess, d.Excess)
			}
		}
		if len(excess) == 0 {
			continue
		}
		mean := bootstrapped(excess)
		points = append(points, textStatesPoint{policy + ": all", "mean, 95 % over pairs", mean.Mean, band{mean.Low, mean.High}})
		for _, d := range pairs {
			if d.Policy == policy {
				points = append(points, textStatesPoint{fmt.Sprintf("%s: N %d, T %s", policy, d.N, figure.Length(float64(d.T))), "one seed", d.Excess, noBand})
			}
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Excess on newlines less that of the model from zero states of the same N, T and seed."}, Category: "models", Series: []string{"what"},
		X: figure.Axis{Column: "difference", Label: "Difference of the excess on newlines", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("as from zeros", 0)}},
		Table: table.Of(points)}, nil
}

// textLongerPoint is one model.
type textLongerPoint struct {
	Panel  string  `parquet:"panel" doc:"excess or level within, and the prompt"`
	Seed   string  `parquet:"seed" doc:"seed of weights and data"`
	Tokens float64 `parquet:"tokens" doc:"tokens of training, moved aside by seed"`
	Loss   float64 `parquet:"loss" doc:"what the panel says, nats"`
	band
}

// textLongerFigure draws excess and level against the amount of training.
func textLongerFigure(root string) (report.Figure, error) {
	all, err := textModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	models, err := textLonger(root, all)
	if err != nil {
		return report.Figure{}, err
	}
	if !slices.ContainsFunc(models, func(m trainedText) bool { return m.in("longer") }) {
		return report.Figure{}, notRun(all, "longer")
	}
	var points []textLongerPoint
	put := func(panel, kind string, of func(trainedText) collapse.Estimate) {
		for _, m := range models {
			if m.Kind == kind {
				tokens, e := m.Tokens*math.Pow(2, 0.06*float64(m.Seed-1)), of(m)
				points = append(points, textLongerPoint{panel, fmt.Sprint("seed ", m.Seed), tokens, e.Mean, band{e.Low, e.High}})
			}
		}
	}
	excess := func(m trainedText) collapse.Estimate { return m.Excess }
	put("excess, "+promptNames["newlines"], "newlines", excess)
	put("excess, "+promptNames["documents"], "documents", excess)
	put("level within T, newlines", "newlines", func(m trainedText) collapse.Estimate { return m.Inside })
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "N 128, T 256; every point a model of its own with a decay of its own; bootstrap intervals over eight sequences; seeds stand side by side."},
		X: figure.Axis{Column: "tokens", Label: "Training", Unit: "tokens", Scale: figure.Log2}, Y: figure.Axis{Column: "loss", Label: "Loss or excess", Unit: "nat"}, Lo: "low", Hi: "high",
		Series: []string{"seed"}, Panel: "panel", PanelName: "%s", Across: 3, Scatter: true, FreeY: true},
		Table: table.Of(points)}, nil
}

// textBoundsPoint is one model under a bound, or the mean over models.
type textBoundsPoint struct {
	Run    string  `parquet:"run" doc:"dose, and whether the models fail without a bound"`
	What   string  `parquet:"what" doc:"one model or the mean"`
	Change float64 `parquet:"change" doc:"change of the excess: growing heads bounded less others bounded, nats"`
	band
}

// textBoundsFigure draws, dose by dose, the paired changes of the excess under bounds on α.
func textBoundsFigure(root string) (report.Figure, error) {
	all, err := boundEffects(root)
	if err != nil {
		return report.Figure{}, err
	}
	doses := map[float64][]boundEffect{}
	for _, e := range all {
		doses[e.Dose] = append(doses[e.Dose], e)
	}
	var order []float64
	for d := range doses {
		order = append(order, d)
	}
	slices.Sort(order)
	var points []textBoundsPoint
	for _, dose := range order {
		for _, some := range []struct {
			name string
			is   func(boundEffect) bool
		}{{"fail", func(e boundEffect) bool { return e.Fails }}, {"do not fail", func(e boundEffect) bool { return !e.Fails }}} {
			effects := slices.DeleteFunc(slices.Clone(doses[dose]), func(e boundEffect) bool { return !some.is(e) })
			if len(effects) == 0 {
				continue
			}
			name, mean := fmt.Sprintf("dose %g, models that %s", dose, some.name), boundMean(effects)
			points = append(points, textBoundsPoint{name, "mean, 95 % over models", mean.Mean, band{mean.Low, mean.High}})
			for _, e := range effects {
				points = append(points, textBoundsPoint{name, "one model", e.paired(), noBand})
			}
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Dose: fall of Σ log α over T tokens, per head. Left of 0: bounding the heads that grow most lowers the excess more than bounding others."}, Category: "run", Series: []string{"what"},
		X: figure.Axis{Column: "change", Label: "Change of the excess, growing heads less others", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("no difference", 0)}},
		Table: table.Of(points)}, nil
}

// textFlatPoint is one model.
type textFlatPoint struct {
	TrainLength string  `parquet:"train_length" doc:"training length"`
	Before      float64 `parquet:"before" doc:"change of the training loss over the last third at constant rate, %"`
	Decay       float64 `parquet:"decay" doc:"change over the decay, %"`
}

// textFlatFigure draws how much the training losses were still falling.
func textFlatFigure(root string) (report.Figure, error) {
	all, err := TextFlatness(root)
	if err != nil {
		return report.Figure{}, err
	}
	slices.SortStableFunc(all, func(a, b Flatness) int { return a.T - b.T })
	var points []textFlatPoint
	for _, f := range all {
		points = append(points, textFlatPoint{figure.Length(float64(f.T)), 100 * f.Fitted, 100 * f.Decay})
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Note: "Every model a point. Flat by the rule: right of or above a line."},
		X: figure.Axis{Column: "before", Label: "Change over the last third at constant rate", Unit: "%"}, Y: figure.Axis{Column: "decay", Label: "Change over the decay", Unit: "%"}, Series: []string{"train_length"}, Name: "T = %s", Scatter: true,
		Marks: []figure.Mark{{At: -100 * flatLimit, Label: "flat"}, {At: -100 * flatLimit, Label: "flat", Horizontal: true}}},
		Table: table.Of(points)}, nil
}

// textAgainPoint is one training of one model.
type textAgainPoint struct {
	Model    string  `parquet:"model" doc:"N, T and seed"`
	Training string  `parquet:"training" doc:"first or second"`
	Excess   float64 `parquet:"excess" doc:"loss on newlines far beyond T less that within, nats"`
	band
}

// textAgainFigure draws the excess on newlines of the models that were trained twice.
func textAgainFigure(root string) (report.Figure, error) {
	r, err := retrainingOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []textAgainPoint
	for _, m := range r.models {
		for _, side := range []struct {
			name   string
			models []TextModel
		}{{"first training", r.before}, {"second training", r.replaced}} {
			i := slices.IndexFunc(side.models, func(o TextModel) bool { return o.Kind == "newlines" && o.Row == m.Row && o.Seed == m.Seed })
			if i < 0 {
				continue
			}
			e := side.models[i].Excess
			points = append(points, textAgainPoint{fmt.Sprintf("N %d, T %s, seed %d", m.N, figure.Length(float64(m.T)), m.Seed), side.name, e.Mean, band{e.Low, e.High}})
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: "Same row, same seeds, same data, trained twice; bootstrap intervals over eight sequences."}, Category: "model", Series: []string{"training"},
		X: excessAxis, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("fails", limits.Excess)}},
		Table: table.Of(points)}, nil
}
