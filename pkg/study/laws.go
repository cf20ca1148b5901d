package study

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/fit"
	"stuffed/pkg/table"
)

// LawData is the table of a figure.Fit: thresholds with their brackets, and the best form, the expected one and the others
// asked for, between the smallest and the largest n_s. A point stands in the geometric middle of its bracket.
func LawData(points []fit.Point, r *fit.Result, forms ...string) (*table.Table, error) {
	var shown []figure.Point
	from, to := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		from, to = min(from, p.N), max(to, p.N)
		shown = append(shown, figure.Point{X: p.N, Y: middle(p), Lo: known(p.Low), Hi: known(p.High)})
	}
	var curves []figure.Curve
	for _, name := range append([]string{r.Best}, forms...) {
		f := r.Form(name)
		if f == nil || slices.ContainsFunc(curves, func(c figure.Curve) bool { return c.Name == name }) {
			continue
		}
		curves = append(curves, figure.Curve{Name: name, At: func(x float64) (y, lo, hi float64) { return f.At(x), math.NaN(), math.NaN() }})
	}
	return figure.FitData(shown, curves, from, to, figure.Log2)
}

func middle(p fit.Point) float64 {
	switch {
	case math.IsInf(p.High, 1):
		return p.Low
	case math.IsInf(p.Low, -1):
		return p.High
	}
	return math.Sqrt(p.Low * p.High)
}

// Comparison lists the forms of fits side by side: source, form, AIC above the best, leave-one-out error, parameters with
// intervals as text.
func Comparison(sources []string, results []*fit.Result) *table.Table {
	var source, form, a, b, c []string
	var delta, loo []float64
	var n []int64
	for i, r := range results {
		best := math.Inf(1)
		for _, f := range r.Forms {
			best = min(best, f.AIC)
		}
		for _, f := range r.Forms {
			texts := map[string]string{}
			for k, v := range f.Params {
				texts[k] = fmt.Sprintf("%.3g [%.3g, %.3g]", v, f.Intervals[k][0], f.Intervals[k][1])
			}
			source, form, n = append(source, sources[i]), append(form, f.Name), append(n, int64(r.N))
			delta, loo = append(delta, f.AIC-best), append(loo, f.LOO)
			a, b, c = append(a, texts["a"]), append(b, texts["b"]), append(c, texts["c"])
		}
	}
	return table.New().AddText("source", source).AddInt("n", n).AddText("form", form).AddFloat("delta_aic", delta).AddFloat("loo", loo).
		AddText("a", a).AddText("b", b).AddText("c", c)
}

// ForgetPoints are the thresholds of a study by N_S, one for each seed, with what is to be said about them.
func ForgetPoints(root, plan, policy, rule string) ([]fit.Point, []fit.Outcome, []string, error) {
	t, err := Read(root, plan, "outcome")
	if err != nil {
		return nil, nil, nil, err
	}
	outcomes, err := Outcomes(t, policy, rule)
	if err != nil {
		return nil, nil, nil, err
	}
	points, warnings := fit.Brackets(outcomes)
	return points, outcomes, warnings, nil
}

// RecallPoints are the recall capacities of a study by N_S, of the models with the longest training length, whose
// stream holds the oldest pairs.
func RecallPoints(root, plan, policy string, level float64) ([]fit.Point, error) {
	t, err := Read(root, plan, "age")
	if err != nil {
		return nil, err
	}
	lengths, err := t.Int("train_length")
	if err != nil {
		return nil, err
	}
	if t, err = Where(t, "train_length", slices.Max(lengths)); err != nil {
		return nil, err
	}
	return Capacity(t, policy, level)
}
