package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

var stateAxis = figure.Axis{Column: "n_s", Label: "State of the model", Unit: "scalars", Scale: figure.Log2}

// textWaysFigure shows the excess on newlines over N_S for both ways to a state.
func textWaysFigure(root string) (report.Figure, error) {
	all, err := textModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	models := ofKind(all, "newlines")
	var panel, way []string
	var x, y, low, high []float64
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
			panel, way = append(panel, "T = "+figure.Length(float64(m.T))), append(way, name)
			x = append(x, m.NS*1e6*math.Pow(2, shift)) // seeds and ways side by side
			y, low, high = append(y, m.Excess.Mean), append(low, m.Excess.Low), append(high, m.Excess.High)
		}
	}
	if len(x) == 0 {
		return report.Figure{}, notRun(all, "heads")
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Every model a point, with the bootstrap interval over its eight sequences; seeds and ways stand side by side."},
		X: stateAxis, Y: excessAxis, Lo: "low", Hi: "high", Series: []string{"way"}, Panel: "panel", PanelName: "%s", Across: 3, Scatter: true,
		Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}},
		Table: table.New().AddText("panel", panel).AddText("way", way).AddFloat("n_s", x).AddFloat("excess", y).AddFloat("low", low).AddFloat("high", high)}, nil
}

// textStatesFigure shows what carried and passed states change, seed by seed and over all pairs.
func textStatesFigure(root string) (report.Figure, error) {
	all, err := textModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	pairs, _ := textStates(all)
	if len(pairs) == 0 {
		return report.Figure{}, notRun(all, "carried", "passed")
	}
	var line, series []string
	var x, low, high []float64
	add := func(name, what string, v, l, h float64) {
		line, series, x, low, high = append(line, name), append(series, what), append(x, v), append(low, l), append(high, h)
	}
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
		add(policy+": all", "mean, 95 % over pairs", mean.Mean, mean.Low, mean.High)
		for _, d := range pairs {
			if d.Policy == policy {
				add(fmt.Sprintf("%s: N %d, T %s", policy, d.N, figure.Length(float64(d.T))), "one seed", d.Excess, math.NaN(), math.NaN())
			}
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Excess on newlines less that of the model from zero states of the same N, T and seed."}, Category: "models", Series: []string{"what"},
		X: figure.Axis{Column: "difference", Label: "Difference of the excess on newlines", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("as from zeros", 0)}},
		Table: table.New().AddText("models", line).AddText("what", series).AddFloat("difference", x).AddFloat("low", low).AddFloat("high", high)}, nil
}

// textLongerFigure shows excess and level over the amount of training.
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
	var panel, seed []string
	var x, y, low, high []float64
	for _, kind := range []string{"newlines", "documents"} {
		for _, m := range models {
			if m.Kind != kind {
				continue
			}
			shift := math.Pow(2, 0.06*float64(m.Seed-1))
			panel, seed, x = append(panel, "excess, "+promptNames[kind]), append(seed, fmt.Sprint("seed ", m.Seed)), append(x, m.Tokens*shift)
			y, low, high = append(y, m.Excess.Mean), append(low, m.Excess.Low), append(high, m.Excess.High)
		}
	}
	for _, m := range models {
		if m.Kind == "newlines" {
			shift := math.Pow(2, 0.06*float64(m.Seed-1))
			panel, seed, x = append(panel, "level within T, newlines"), append(seed, fmt.Sprint("seed ", m.Seed)), append(x, m.Tokens*shift)
			y, low, high = append(y, m.Inside.Mean), append(low, m.Inside.Low), append(high, m.Inside.High)
		}
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "N 128, T 256; every point a model of its own with a decay of its own; bootstrap intervals over eight sequences; seeds stand side by side."},
		X: figure.Axis{Column: "tokens", Label: "Training", Unit: "tokens", Scale: figure.Log2}, Y: figure.Axis{Column: "loss", Label: "Loss or excess", Unit: "nat"}, Lo: "low", Hi: "high",
		Series: []string{"seed"}, Panel: "panel", PanelName: "%s", Across: 3, Scatter: true, FreeY: true},
		Table: table.New().AddText("panel", panel).AddText("seed", seed).AddFloat("tokens", x).AddFloat("loss", y).AddFloat("low", low).AddFloat("high", high)}, nil
}

// textBoundsFigure shows, dose by dose, the paired changes of the excess under bounds of α.
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
	var line, series []string
	var x, low, high []float64
	add := func(name, what string, v, l, h float64) {
		line, series, x, low, high = append(line, name), append(series, what), append(x, v), append(low, l), append(high, h)
	}
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
			add(name, "mean, 95 % over models", mean.Mean, mean.Low, mean.High)
			for _, e := range effects {
				add(name, "one model", e.paired(), math.NaN(), math.NaN())
			}
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Dose: fall of Σ log α over T tokens, per head. Left of 0: bounding the heads that grow most lowers the excess more than bounding others."}, Category: "run", Series: []string{"what"},
		X: figure.Axis{Column: "change", Label: "Change of the excess, growing heads less others", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("no difference", 0)}},
		Table: table.New().AddText("run", line).AddText("what", series).AddFloat("change", x).AddFloat("low", low).AddFloat("high", high)}, nil
}

// textFlatFigure shows how much the training losses still fell.
func textFlatFigure(root string) (report.Figure, error) {
	all, err := TextFlatness(root)
	if err != nil {
		return report.Figure{}, err
	}
	slices.SortStableFunc(all, func(a, b Flatness) int { return a.T - b.T })
	var length []string
	var x, y []float64
	for _, f := range all {
		length, x, y = append(length, figure.Length(float64(f.T))), append(x, 100*f.Fitted), append(y, 100*f.Decay)
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Note: "Every model a point. Flat by the rule: right of or above a line."},
		X: figure.Axis{Column: "before", Label: "Change over the last third at constant rate", Unit: "%"}, Y: figure.Axis{Column: "decay", Label: "Change over the decay", Unit: "%"}, Series: []string{"train_length"}, Name: "T = %s", Scatter: true,
		Marks: []figure.Mark{{At: -100 * flatLimit, Label: "flat"}, {At: -100 * flatLimit, Label: "flat", Horizontal: true}}},
		Table: table.New().AddText("train_length", length).AddFloat("before", x).AddFloat("decay", y)}, nil
}

// textAgainFigure shows the excess on newlines of models that were trained twice.
func textAgainFigure(root string) (report.Figure, error) {
	r, err := retrainingOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	var line, training []string
	var x, low, high []float64
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
			line, training = append(line, fmt.Sprintf("N %d, T %s, seed %d", m.N, figure.Length(float64(m.T)), m.Seed)), append(training, side.name)
			x, low, high = append(x, e.Mean), append(low, e.Low), append(high, e.High)
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: "Same row, same seeds, same data, trained twice; bootstrap intervals over eight sequences."}, Category: "model", Series: []string{"training"},
		X: excessAxis, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("fails", limits.Excess)}},
		Table: table.New().AddText("model", line).AddText("training", training).AddFloat("excess", x).AddFloat("low", low).AddFloat("high", high)}, nil
}
