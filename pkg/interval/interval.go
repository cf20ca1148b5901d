// Package interval has the 95 % intervals that tables and figures show: Student's t of a mean,
//
//	x̄ ± t_{0.975, n−1} s / √n,
//
// and percentiles of a bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).
package interval

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Student is the mean of values and its interval; the ends are NaN for fewer than two values, all three for none.
func Student(v []float64) (mean, low, high float64) {
	mean, deviation := stat.MeanStdDev(v, nil)
	if len(v) < 2 {
		return mean, math.NaN(), math.NaN()
	}
	n := float64(len(v))
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * deviation / math.Sqrt(n)
	return mean, mean - half, mean + half
}

// Percentiles sorts the draws of a bootstrap and returns the ends of their middle 95 %: as many draws lie below as above. The ends are
// NaN where there are no draws.
func Percentiles(draws []float64) (low, high float64) {
	if len(draws) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(draws)
	out := len(draws) / 40
	return draws[out], draws[len(draws)-1-out]
}
