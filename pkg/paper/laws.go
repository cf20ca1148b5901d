package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"stuffed/datasets/published"
	"stuffed/pkg/figure"
	"stuffed/pkg/fit"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// Points are in millions of scalars and in K (1,024) tokens; figures show scalars and tokens.
const (
	million = 1e6
	kilo    = 1024
)

// LawData returns the table of a figure.Fit, in scalars and tokens: thresholds with their brackets, and the best form, the
// expected one and any others asked for, between the smallest and the largest n_s. Points of equal n_s are drawn side by side.
func LawData(points []fit.Point, r *fit.Result, forms ...string) (*table.Table, error) {
	var shown []figure.Point
	from, to := math.Inf(1), math.Inf(-1)
	for i, p := range points {
		from, to = min(from, p.N), max(to, p.N)
		shown = append(shown, figure.Point{X: p.N * million * aside(points, i), Y: math.NaN(), Lo: known(p.Low) * kilo, Hi: known(p.High) * kilo})
	}
	var curves []figure.Curve
	for _, name := range append([]string{r.Best}, forms...) {
		f := r.Form(name)
		if f == nil || slices.ContainsFunc(curves, func(c figure.Curve) bool { return c.Name == name }) {
			continue
		}
		curves = append(curves, figure.Curve{Name: name, At: func(x float64) (y, lo, hi float64) { return f.At(x/million) * kilo, math.NaN(), math.NaN() }})
	}
	return figure.FitData(shown, curves, from*million, to*million, figure.Log2)
}

// aside shifts the points of one size apart, so that equal brackets do not hide each other.
func aside(points []fit.Point, i int) float64 {
	nth, n := 0, 0
	for k, p := range points {
		if p.N == points[i].N {
			if n++; k < i {
				nth++
			}
		}
	}
	return math.Pow(1.05, float64(nth)-float64(n-1)/2)
}

// ComparedForm is one form of a law fitted to points; parameters are given with their intervals.
type ComparedForm struct {
	Source   string  `parquet:"source" doc:"law, and whose points"`
	N        int     `parquet:"n" doc:"points"`
	Form     string  `parquet:"form" doc:"form of the law"`
	DeltaAIC float64 `parquet:"delta_aic" doc:"AIC above that of the best form"`
	LOO      float64 `parquet:"loo" doc:"leave-one-out error"`
	A        string  `parquet:"a" doc:"parameter a"`
	B        string  `parquet:"b" doc:"parameter b"`
	C        string  `parquet:"c" doc:"parameter c"`
}

// Comparison lists fitted forms side by side: a table of [ComparedForm].
func Comparison(sources []string, results []*fit.Result) *table.Table {
	var rows []ComparedForm
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
			rows = append(rows, ComparedForm{sources[i], r.N, f.Name, f.AIC - best, f.LOO, texts["a"], texts["b"], texts["c"]})
		}
	}
	return table.Of(rows)
}

// ForgetPoints returns the thresholds of a study by N_S, one per seed, with notes for the reader.
func ForgetPoints(root, plan, policy, rule string) ([]fit.Point, []fit.Outcome, []string, error) {
	models, err := Models(root, plan)
	if err != nil {
		return nil, nil, nil, err
	}
	outcomes, unlearned, unjudged, err := Outcomes(of(models, with(policy)), rule, limits)
	if err != nil {
		return nil, nil, nil, err
	}
	points, warnings := fit.Brackets(outcomes)
	if n := len(warnings); n > 2 {
		warnings = []string{fmt.Sprintf("%d of %d thresholds: passes at a shorter length than one where it fails; the longest failing one counts", n, len(points))}
	}
	all := unlearned + unjudged + len(outcomes)
	if unlearned > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d models have not learned the stream (accuracy within the window below %g) and are left out", unlearned, all, LearnedAccuracy))
	}
	if unjudged > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d models cannot be judged by the rule %s and are left out", unjudged, all, rule))
	}
	return points, outcomes, warnings, nil
}

// RecallPoints returns the recall capacities of a study by N_S, one per seed.
func RecallPoints(root, plan, policy string, level float64) ([]fit.Point, error) {
	t, err := study.Read(root, plan, "age")
	if err != nil {
		return nil, err
	}
	return Capacity(t, policy, level)
}

// FitOrPoints returns LawData with the best and the expected form, or with those asked for; where the thresholds cannot be
// fitted, the points alone. The note names the best form, or says why there is none.
func FitOrPoints(law string, points []fit.Point, forms ...string) (t *table.Table, note string, err error) {
	r, err := fit.Fit(points, fit.Options{Law: law, Resamples: 400, Seed: 1})
	if err != nil {
		t, dataErr := LawData(points, &fit.Result{}, forms...)
		return t, "no law fitted: " + err.Error(), dataErr
	}
	if len(forms) == 0 {
		forms = []string{r.Expected}
	}
	t, err = LawData(points, r, forms...)
	return t, r.String(), err
}

// PublishedData returns a published law with its points, a refit and the best form for the brackets, as the table of a
// figure.Fit.
func PublishedData(law string) (*table.Table, *fit.Published, error) {
	p, err := fit.Evaluate(law, fit.Options{Resamples: 400, Seed: 1})
	if err != nil {
		return nil, nil, err
	}
	thresholds, err := published.Thresholds(law)
	if err != nil {
		return nil, nil, err
	}
	var points []figure.Point
	most := 0.0
	for _, t := range thresholds {
		if t.T == 0 {
			points = append(points, figure.Point{X: t.N, Y: t.T, Lo: math.NaN(), Hi: math.NaN(), Name: "origin, added by the paper"})
		} else {
			points = append(points, figure.Point{X: t.N, Y: t.T, Lo: t.T / 2, Hi: t.T, Name: "read off the figure; bar: down to half"})
		}
		most = max(most, t.N)
	}
	curve := func(name string, at func(float64) float64) figure.Curve {
		return figure.Curve{Name: name, At: func(x float64) (y, lo, hi float64) { return at(x), math.NaN(), math.NaN() }}
	}
	best := p.Bracketed.Form(p.Bracketed.Best)
	curves := []figure.Curve{
		curve("published", func(x float64) float64 { return fit.Eval(p.Form, p.Params, x) }),
		curve("refit without origin", func(x float64) float64 { return fit.Eval(p.Form, p.NoOrigin, x) }),
		curve("brackets, "+best.Name, best.At),
	}
	t, err := figure.FitData(points, curves, 0, most, figure.Linear)
	return t, p, err
}

// AllForms compares the forms of both laws on the published thresholds and on ours (ForgetPlan and CapacityPlan); the notes say
// what cannot be fitted.
func AllForms(root, policy, rule string, level float64) (t *table.Table, notes []string, err error) {
	var sources []string
	var results []*fit.Result
	o := fit.Options{Resamples: 400, Seed: 1}
	for _, law := range published.Laws {
		p, err := fit.Evaluate(law, o)
		if err != nil {
			return nil, nil, err
		}
		sources, results = append(sources, law+", published"), append(results, p.Bracketed)
		var points []fit.Point
		var said []string
		if law == "forget" {
			points, _, said, err = ForgetPoints(root, ForgetPlan, policy, rule)
		} else {
			points, err = RecallPoints(root, CapacityPlan, policy, level)
		}
		notes = append(notes, said...)
		if errors.Is(err, fs.ErrNotExist) {
			notes = append(notes, law+", ours: "+err.Error())
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		o.Law = law
		r, err := fit.Fit(points, o)
		if err != nil {
			notes = append(notes, law+", ours: "+err.Error())
			continue
		}
		sources, results = append(sources, law+", ours"), append(results, r)
	}
	return Comparison(sources, results), notes, nil
}
