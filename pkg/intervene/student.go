package intervene

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// student is the mean with its 95 % interval by Student's t; NaN bounds for fewer than two values.
func student(v []float64) (mean, low, high float64) {
	mean, std := stat.MeanStdDev(v, nil)
	if len(v) < 2 {
		return mean, math.NaN(), math.NaN()
	}
	n := float64(len(v))
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * std / math.Sqrt(n)
	return mean, mean - half, mean + half
}
