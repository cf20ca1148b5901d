package fit

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// estimate is one form fitted to one set of points.
type estimate struct {
	form   Form
	g      *geometry
	x      []float64 // search coordinates, the last one ln σ
	params []float64
	sigma  float64
	logL   float64 // without the centring term
	score  float64 // with it; what was maximised
}

// fitter fits forms to points under one error model.
type fitter struct {
	points []Point
	model  errorModel
	floor  float64 // smallest σ, on the model's scale
	g      *geometry

	predicted []float64 // scratch
}

func newFitter(points []Point, model errorModel) *fitter {
	f := &fitter{points: points, model: model, g: newGeometry(points), floor: 0.01, predicted: make([]float64, len(points))}
	if model == onValue {
		largest := 0.0
		for _, p := range points {
			largest = max(largest, math.Abs(p.middle()))
		}
		f.floor = 1e-3 * max(largest, 1e-9)
	}
	if len(f.widths()) == 0 {
		f.floor *= 1e-4
	}
	return f
}

// widths returns the widths of the closed brackets on the model's scale, sorted.
func (f *fitter) widths() (out []float64) {
	for _, p := range f.points {
		if !p.Exact() && p.Low > 0 && !math.IsInf(p.High, 1) {
			out = append(out, f.model.scale(p.High)-f.model.scale(p.Low))
		}
	}
	slices.Sort(out)
	return out
}

// cautious returns the fitter used for intervals, whose σ is at least a sixth of a grid step. A grid cannot resolve smaller errors; with few
// brackets the likelihood would take them to be zero, and intervals would become too narrow.
func (f *fitter) cautious() *fitter {
	again := *f
	again.predicted = make([]float64, len(f.points))
	if widths := f.widths(); len(widths) > 0 {
		again.floor = max(f.floor, widths[len(widths)/2]/6)
	}
	return &again
}

// score evaluates parameters and ln σ; score is the likelihood less the
// centring term, −Inf where the law has no value.
func (f *fitter) score(form Form, params []float64, logSigma float64) (logL, score float64) {
	sigma := f.sigma(logSigma)
	for i, p := range f.points {
		f.predicted[i] = form.Eval(params, p.N)
		if math.IsNaN(f.predicted[i]) || math.IsInf(f.predicted[i], 0) {
			return math.Inf(-1), math.Inf(-1)
		}
	}
	logL, penalty := f.model.logLikelihood(f.points, f.predicted, sigma)
	if math.IsNaN(logL) {
		return math.Inf(-1), math.Inf(-1)
	}
	return logL, logL - penalty
}

func (f *fitter) sigma(logSigma float64) float64 { return max(math.Exp(min(logSigma, 50)), f.floor) }

// fit maximises the likelihood from several starts, or quickly from the given one.
func (f *fitter) fit(form Form, warm []float64) estimate {
	if warm != nil {
		return f.climb(form, warm, 1, 200)
	}
	return f.search(form, nil)
}

// search goes the whole way from the best of the form's starts and those given.
func (f *fitter) search(form Form, starts [][]float64) estimate {
	spread := 0.2
	if f.model == onValue {
		spread = 0.1 * math.Abs(f.g.f2)
	}
	for _, s := range form.start(f.g) {
		for _, factor := range []float64{1, 0.1} {
			starts = append(starts, append(append([]float64{}, s...), math.Log(max(spread*factor, f.floor))))
		}
	}
	objective := f.objective(form)
	best := math.Inf(1)
	var from []float64
	for _, start := range starts { // a short look from every start
		x := minimise(objective, start, 80)
		if y := objective(x); from == nil || y < best {
			best, from = y, x
		}
	}
	return f.climb(form, from, 2, 600) // a second simplex from where the first one stopped
}

// climb maximises the likelihood from one start, with a new simplex at every turn.
func (f *fitter) climb(form Form, x []float64, turns, evaluations int) estimate {
	if len(f.widths()) == 0 {
		turns = 6 // exact points have one sharp optimum
	}
	for range turns {
		x = minimise(f.objective(form), x, evaluations)
	}
	last := form.Params
	e := estimate{form: form, g: f.g, x: x, params: form.natural(f.g, x[:last]), sigma: f.sigma(x[last])}
	e.logL, e.score = f.score(form, e.params, x[last])
	return e
}

// objective is what is minimised over the search coordinates.
func (f *fitter) objective(form Form) func(x []float64) float64 {
	return func(x []float64) float64 {
		_, score := f.score(form, form.natural(f.g, x[:form.Params]), x[form.Params])
		return -score
	}
}

// minimise runs Nelder–Mead; it returns x itself where nothing better is found.
func minimise(objective func([]float64) float64, x []float64, evaluations int) []float64 {
	if math.IsInf(objective(x), 1) {
		return x
	}
	result, err := optimize.Minimize(optimize.Problem{Func: objective}, x, &optimize.Settings{
		FuncEvaluations: evaluations,
		Converger:       &optimize.FunctionConverge{Absolute: 1e-7, Iterations: max(25, evaluations/6)},
	}, &optimize.NelderMead{SimplexSize: 0.3})
	if result == nil || (err != nil && len(result.X) != len(x)) || math.IsNaN(result.F) {
		return x
	}
	return result.X
}
