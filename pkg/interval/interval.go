// Package interval computes the 95 % confidence intervals of tables and figures: Student's t for a mean,
//
//	x̄ ± t_{0.975, n−1} s / √n,
//
// bootstrap percentiles (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), and the range of the values
// themselves, for a few values of a bounded quantity, where Student's interval may reach beyond the bound.
package interval

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Student returns the mean of v and its 95 % interval; the ends are NaN for fewer than two values, all three results for none.
func Student(v []float64) (mean, low, high float64) {
	mean, deviation := stat.MeanStdDev(v, nil)
	if len(v) < 2 {
		return mean, math.NaN(), math.NaN()
	}
	n := float64(len(v))
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * deviation / math.Sqrt(n)
	return mean, mean - half, mean + half
}

// Range is the mean of values, the smallest and the largest; all three are NaN for none.
func Range(v []float64) (mean, low, high float64) {
	if len(v) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	return stat.Mean(v, nil), slices.Min(v), slices.Max(v)
}

// Percentiles sorts the bootstrap draws in place and returns the ends of their central 95 %, with equally many draws in either tail. The
// ends are NaN if there are no draws.
func Percentiles(draws []float64) (low, high float64) {
	if len(draws) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(draws)
	out := len(draws) / 40
	return draws[out], draws[len(draws)-1-out]
}
