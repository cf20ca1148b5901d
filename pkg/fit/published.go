package fit

import (
	"fmt"
	"math"

	"stuffed/datasets/published"
)

// Published compares a published law with our fits to the published points.
type Published struct {
	Law       string    `json:"law"`
	Form      string    `json:"form"`
	Params    []float64 `json:"params"`
	ClaimedR2 float64   `json:"claimed_r2"`
	R2        float64   `json:"r2"`    // of the published coefficients on the published points, including the artificial origin
	Refit     []float64 `json:"refit"` // least squares of the same form, including the origin
	RefitR2   float64   `json:"refit_r2"`
	NoOrigin  []float64 `json:"refit_without_origin"`
	NoOrigin2 float64   `json:"refit_without_origin_r2"`
	Bracketed *Result   `json:"bracketed"` // all forms; thresholds swept by doubling are only known to lie in (T/2, T]
}

// Evaluate recomputes a published law (forget or recall).
func Evaluate(law string, o Options) (*Published, error) {
	l, err := published.Of(law)
	if err != nil {
		return nil, err
	}
	thresholds, err := published.Thresholds(law)
	if err != nil {
		return nil, err
	}
	var form Form
	for _, f := range Forms() {
		if f.Name == l.Form {
			form = f
		}
	}
	if form.Name == "" || len(l.Params) != form.Params {
		return nil, fmt.Errorf("published law %s: form %q with %d parameters is unknown", law, l.Form, len(l.Params))
	}
	var all, without, brackets []Point
	for _, t := range thresholds {
		p := Point{t.N, t.T, t.T}
		all = append(all, p)
		if !t.Origin {
			without = append(without, p)
			brackets = append(brackets, Point{t.N, t.T / 2, t.T})
		}
	}
	out := &Published{Law: law, Form: l.Form, Params: l.Params, ClaimedR2: l.R2, R2: RSquared(all, form, l.Params)}
	out.Refit = newFitter(all, onValue).fit(form, nil).params
	out.RefitR2 = RSquared(all, form, out.Refit)
	out.NoOrigin = newFitter(without, onValue).fit(form, nil).params
	out.NoOrigin2 = RSquared(without, form, out.NoOrigin)
	o.Law = law
	out.Bracketed, err = Fit(brackets, o)
	return out, err
}

// RSquared is 1 − Σ(T − f(N))² / Σ(T − mean T)² over exactly known points.
func RSquared(points []Point, form Form, params []float64) float64 {
	mean := 0.0
	for _, p := range points {
		mean += p.Low / float64(len(points))
	}
	var residual, total float64
	for _, p := range points {
		if !p.Exact() {
			return math.NaN()
		}
		residual += square(p.Low - form.Eval(params, p.N))
		total += square(p.Low - mean)
	}
	return 1 - residual/total
}

// Eval evaluates a form by name at n millions of scalars; NaN for an unknown name.
func Eval(form string, params []float64, n float64) float64 {
	for _, f := range Forms() {
		if f.Name == form {
			return f.Eval(params, n)
		}
	}
	return math.NaN()
}
