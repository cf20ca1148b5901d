package fit

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"stuffed/pkg/atomic"
)

// Result compares the forms on one set of thresholds.
type Result struct {
	Law       string   `json:"law"`
	Expected  string   `json:"expected"` // the form of the published law
	Forms     []Fitted `json:"forms"`    // in the order of Forms
	Best      string   `json:"best"`     // smallest AIC
	Undecided bool     `json:"undecided"`
	N         int      `json:"n"`
	Errors    string   `json:"error_model"`
	Warnings  []string `json:"warnings"`
}

// Fitted is one form with its estimates.
type Fitted struct {
	Name      string                `json:"name"`
	Formula   string                `json:"formula"`
	Params    map[string]float64    `json:"params"`
	Intervals map[string][2]float64 `json:"intervals"` // 95 %
	Sigma     float64               `json:"sigma"`     // deviation of the errors, on the scale of the error model
	AIC       float64               `json:"aic"`
	AICc      float64               `json:"aicc"` // with the correction for few points; for information
	LOO       float64               `json:"loo"`  // root mean square distance in ln T from the bracket left out
	Values    []float64             `json:"-"`    // the parameters in order
	form      Form
}

// At is the law's threshold, K tokens, for n millions of scalars.
func (f Fitted) At(n float64) float64 { return f.form.Eval(f.Values, n) }

// Options of Fit.
type Options struct {
	Law       string // forget or recall: which form is expected
	Resamples int    // of the bootstrap, 0 for 1000
	Seed      uint64
	Progress  func(done, total int) // forms
}

// expected holds the forms of the laws of arXiv 2410.07145.
var expected = map[string]string{"forget": "linear", "recall": "exponential"}

// Fit compares all forms. The AIC counts the parameters and the error deviation; best is undecided if the runner-up is within 2. Intervals
// come from the case bootstrap, extended to the profile-likelihood interval where that is wider, since few brackets carry too little
// information for the bootstrap alone.
func Fit(points []Point, o Options) (*Result, error) {
	want, known := expected[o.Law]
	if !known {
		return nil, fmt.Errorf("law %q is unknown; choose forget or recall", o.Law)
	}
	if o.Resamples == 0 {
		o.Resamples = 1000
	}
	if o.Resamples < 40 {
		return nil, fmt.Errorf("resamples is %d, want 40 or more for a 95 %% interval", o.Resamples)
	}
	warnings, err := enough(points)
	if err != nil {
		return nil, err
	}
	model := onLog
	for _, p := range points {
		if p.Exact() && p.Low <= 0 {
			model = onValue
		}
	}
	r := &Result{Law: o.Law, Expected: want, N: len(points), Errors: model.String(), Warnings: warnings}
	for i, form := range Forms() {
		if distinct(points) <= form.Params {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: not fitted, %d parameters need more than %d different n_s", form.Name, form.Params, distinct(points)))
			continue
		}
		one, notes := fitForm(points, model, form, o)
		r.Forms, r.Warnings = append(r.Forms, one), append(r.Warnings, notes...)
		if o.Progress != nil {
			o.Progress(i+1, len(Forms()))
		}
	}
	byAIC := slices.SortedStableFunc(slices.Values(r.Forms), func(a, b Fitted) int {
		switch d := a.AIC - b.AIC; {
		case d < -1e-9:
			return -1
		case d > 1e-9:
			return 1
		}
		return 0 // the simpler form comes first
	})
	r.Best = byAIC[0].Name
	if math.IsInf(byAIC[0].AIC, 0) {
		return nil, fmt.Errorf("no form has a value at every n_s; check the units: n_s in millions of scalars, low and high in K tokens")
	}
	r.Undecided = len(byAIC) > 1 && byAIC[1].AIC-byAIC[0].AIC <= 2
	if r.Undecided {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s and %s differ by %.1f in AIC: the points do not decide between them", byAIC[0].Name, byAIC[1].Name, byAIC[1].AIC-byAIC[0].AIC))
	}
	if r.Best != want {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the %s law was published as %s; here %s fits best", o.Law, want, r.Best))
	}
	return r, nil
}

// enough returns an error if the points cannot determine a law, and warnings if they barely can.
func enough(points []Point) (warnings []string, err error) {
	reached, passedAtOnce, never := 0, 0, 0
	for _, p := range points {
		switch {
		case math.IsInf(p.High, 1):
			never++
		case math.IsInf(p.Low, -1):
			passedAtOnce++
		default:
			reached++
		}
	}
	if len(points) < 3 || distinct(points) < 3 {
		return nil, fmt.Errorf("%d points at %d different n_s: too few, at least 3 at 3 different n_s are needed", len(points), distinct(points))
	}
	if reached < 2 {
		return nil, fmt.Errorf("only %d of %d points have both low and high: a law cannot be fitted to thresholds that were not reached (%d) or passed at once (%d); widen the grid of lengths", reached, len(points), never, passedAtOnce)
	}
	var closed []Point
	for _, p := range points {
		if !math.IsInf(p.Low, 0) && !math.IsInf(p.High, 0) {
			closed = append(closed, p)
		}
	}
	switch d := distinct(closed); {
	case d < 2:
		return nil, fmt.Errorf("the points with both low and high are all at one n_s (%d of %d points): thresholds elsewhere lie beyond the grid (%d) or below it (%d); widen the grid of lengths", reached, len(points), never, passedAtOnce)
	case d < 3:
		warnings = append(warnings, fmt.Sprintf("only %d different n_s have both low and high: the shape of the law is hardly known", d))
	}
	if d := distinct(points); d < 5 {
		warnings = append(warnings, fmt.Sprintf("only %d different n_s: forms are hard to tell apart below 5", d))
	}
	if never > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d thresholds lie beyond the grid (right-censored)", never, len(points)))
	}
	if passedAtOnce > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d thresholds lie below the grid (left-censored)", passedAtOnce, len(points)))
	}
	return warnings, nil
}

func fitForm(points []Point, model errorModel, form Form, o Options) (Fitted, []string) {
	f := newFitter(points, model)
	e := f.fit(form, nil)
	n, k := float64(len(points)), float64(form.Params+1)
	out := Fitted{Name: form.Name, Formula: form.Formula, Params: map[string]float64{}, Intervals: map[string][2]float64{},
		Sigma: e.sigma, AIC: 2*k - 2*e.logL, AICc: math.Inf(1), Values: e.params, form: form}
	if n > k+1 {
		out.AICc = out.AIC + 2*k*(k+1)/(n-k-1)
	}
	if math.IsInf(e.logL, -1) {
		out.AIC, out.AICc = math.Inf(1), math.Inf(1)
	}
	var warnings []string
	if at := form.bounded(f.g, e.x); at != "" {
		warnings = append(warnings, fmt.Sprintf("%s: %s lies at the end of its range; the points do not bend the curve that far", form.Name, at))
	}
	resampled := f.caseBootstrap(e, o.Resamples, o.Seed)
	cautious := f.cautious()
	wide := cautious.fit(form, nil)
	for i, v := range e.params {
		low, high, open := cautious.profile(wide, i)
		if open {
			warnings = append(warnings, fmt.Sprintf("%s: the interval of %s has no end within the search", form.Name, paramNames[i]))
		}
		out.Params[paramNames[i]] = v
		out.Intervals[paramNames[i]] = [2]float64{min(low, v, resampled[i][0]), max(high, v, resampled[i][1])}
	}
	out.LOO = f.leaveOneOut(e)
	if form.Params >= len(points)-1 {
		warnings = append(warnings, fmt.Sprintf("%s: %d parameters for %d points", form.Name, form.Params, len(points)))
	}
	return out, warnings
}

// leaveOneOut predicts every point from the others.
func (f *fitter) leaveOneOut(e estimate) float64 {
	sum, n := 0.0, 0
	least := f.g.unit / 100 // a threshold below this counts as this
	scale := func(x float64) float64 { return math.Log(max(x, least)) }
	for i, p := range f.points {
		if again := f.without(i); distinct(again.points) >= e.form.Params {
			sum += square(p.distance(e.form.Eval(again.refit(e).params, p.N), scale))
			n++
		}
	}
	return math.Sqrt(sum / float64(n))
}

// without is the fitter of all points but one.
func (f *fitter) without(i int) *fitter {
	again := *f
	again.points = slices.Concat(f.points[:i], f.points[i+1:])
	again.predicted = make([]float64, len(again.points))
	return &again
}

// ridge is how many simplexes a refit takes: the likelihood of a form with three parameters has ridges on which one stops early.
const ridge = 8

// refit fits the form of e to other points, from e and from the form's starts.
func (f *fitter) refit(e estimate) estimate {
	found := f.search(e.form, [][]float64{e.x})
	return f.climb(e.form, found.x, ridge, 600)
}

// Write writes the result as JSON, atomically.
func (r *Result) Write(path string) error {
	data, err := json.MarshalIndent(r.finite(), "", "  ")
	if err != nil {
		return fmt.Errorf("fit: %w", err)
	}
	return atomic.Bytes(path, append(data, '\n'))
}

// finite drops forms without a value and clamps numbers to what JSON can represent.
func (r *Result) finite() *Result {
	out := *r
	out.Forms = nil
	for _, f := range r.Forms {
		if math.IsInf(f.AIC, 0) || math.IsNaN(f.AIC) {
			out.Warnings = append(slices.Clone(out.Warnings), f.Name+": has no value at some n_s and is left out")
			continue
		}
		f.AICc, f.LOO = bound(f.AICc), bound(f.LOO)
		intervals := map[string][2]float64{}
		for k, v := range f.Intervals {
			intervals[k] = [2]float64{bound(v[0]), bound(v[1])}
		}
		f.Intervals = intervals
		out.Forms = append(out.Forms, f)
	}
	return &out
}

func bound(x float64) float64 {
	if math.IsNaN(x) {
		return math.MaxFloat64
	}
	return min(max(x, -math.MaxFloat64), math.MaxFloat64)
}

// Form returns the result of one form, nil if it was not fitted.
func (r *Result) Form(name string) *Fitted {
	for i := range r.Forms {
		if r.Forms[i].Name == name {
			return &r.Forms[i]
		}
	}
	return nil
}

// String formats the result as a short table.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s law, %d thresholds, errors %s\n", r.Law, r.N, r.Errors)
	for _, f := range r.Forms {
		fmt.Fprintf(&b, "  %-12s AIC %8.2f  LOO %6.3f ", f.Name, f.AIC, f.LOO)
		for i := range f.Values {
			k := paramNames[i]
			fmt.Fprintf(&b, "  %s = %.4g [%.4g, %.4g]", k, f.Params[k], f.Intervals[k][0], f.Intervals[k][1])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "best: %s", r.Best)
	if r.Undecided {
		b.WriteString(" (undecided)")
	}
	b.WriteByte('\n')
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

// parallel calls do concurrently for 0 … n−1.
func parallel(n int, do func(i int)) {
	const workers = 4
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	all.Wait()
}
