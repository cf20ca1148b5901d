package fit

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// profile is the 95 % profile-likelihood interval of parameter k: all values
// with which the other parameters still reach a likelihood near the best. The
// threshold is that of an F-test, n·ln(1 + t²/(n − p)), since σ is estimated
// and n is small. open tells that a side has no end within the search.
func (f *fitter) profile(e estimate, k int) (low, high float64, open bool) {
	n, p := float64(len(f.points)), float64(e.form.Params)
	freedom := max(n-p, 1)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(0.975)
	drop := n * math.Log(1+t*t/freedom) / 2

	last := e.form.Params - 1
	// gap is how far below the threshold the profile lies at v (negative: inside).
	gap := func(v float64, warm []float64) (float64, []float64) {
		objective := func(x []float64) float64 {
			_, score := f.score(e.form, e.form.pinned(f.g, k, v, x[:last]), x[last])
			return -score
		}
		x := minimise(objective, warm, 200)
		return e.score + (-drop) + objective(x), x
	}
	centre := e.params[k]
	warmStart := append(e.form.loose(f.g, k, e.params), math.Log(e.sigma))
	side := func(sign float64) (float64, bool) {
		inside, step := centre, max(math.Abs(centre)*0.02, 1e-6)
		limit := math.Inf(1)
		if e.form.Name == "exponential" && k == 1 { // b > 1
			step = (centre - 1) * 0.05
			if sign < 0 {
				limit = (centre - 1) * 0.999
			}
		}
		if e.form.Name == "saturating" && k == 1 && sign < 0 {
			limit = centre * 0.999
		}
		warm := warmStart
		for range 40 {
			v := centre + sign*min(step, limit)
			g, x := gap(v, warm)
			if g > 0 {
				outside := v
				for range 14 {
					middle := (inside + outside) / 2
					if g, x := gap(middle, warm); g > 0 {
						outside = middle
					} else {
						inside, warm = middle, x
					}
				}
				return outside, false
			}
			inside, warm = v, x
			if step >= limit {
				return v, true
			}
			step *= 2
		}
		return inside, true
	}
	low, openLow := side(-1)
	high, openHigh := side(1)
	return low, high, openLow || openHigh
}

// caseBootstrap refits a form to points drawn with replacement and returns the
// 2.5 and 97.5 percentiles of each parameter. Draws with fewer distinct N than
// parameters say nothing about them and are drawn again.
func (f *fitter) caseBootstrap(e estimate, resamples int, seed uint64) [][2]float64 {
	fitted := make([][]float64, resamples)
	parallel(resamples, func(r int) {
		random := rand.New(rand.NewPCG(seed, 0xca5e+uint64(r)))
		again := *f
		again.points, again.predicted = make([]Point, len(f.points)), make([]float64, len(f.points))
		for try := 0; try < 50; try++ {
			for i := range again.points {
				again.points[i] = f.points[random.IntN(len(f.points))]
			}
			if distinct(again.points) > e.form.Params {
				break
			}
		}
		fitted[r] = again.fit(e.form, e.x).params
	})
	out := make([][2]float64, e.form.Params)
	for k := range out {
		values := make([]float64, resamples)
		for r := range fitted {
			values[r] = fitted[r][k]
		}
		slices.Sort(values)
		out[k] = [2]float64{values[resamples*25/1000], values[(resamples*975-1)/1000]}
	}
	return out
}

func distinct(points []Point) int {
	seen := map[float64]bool{}
	for _, p := range points {
		seen[p.N] = true
	}
	return len(seen)
}
