package paper

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// rank is Spearman's rank correlation; NaN where one side is constant.
func rank(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case v[a] < v[b]:
			return -1
		case v[a] > v[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(v))
	for i := 0; i < len(v); {
		j := i
		for j < len(v) && v[order[j]] == v[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j-1) / 2
		}
		i = j
	}
	return out
}

const permutations = 4000

// within is the rank correlation of two quantities of models within strata: ranks are centred in each stratum, so that
// differences between strata do not count. p is the two-sided permutation test within strata.
func within(models []Model, stratum func(Model) string, x, y func(Model) float64) (rho, p float64) {
	names, by := groups(models, stratum)
	var a, b [][]float64
	for _, name := range names {
		if len(by[name]) > 1 {
			a = append(a, centred(ranks(values(by[name], x))))
			b = append(b, centred(ranks(values(by[name], y))))
		}
	}
	score := func() float64 {
		var xy, xx, yy float64
		for g := range a {
			for i := range a[g] {
				xy, xx, yy = xy+a[g][i]*b[g][i], xx+a[g][i]*a[g][i], yy+b[g][i]*b[g][i]
			}
		}
		return xy / math.Sqrt(xx*yy)
	}
	rho = score()
	if math.IsNaN(rho) {
		return rho, 1
	}
	random := rand.New(rand.NewPCG(1, 0x5eed))
	reached := 1
	for range permutations {
		for g := range b {
			random.Shuffle(len(b[g]), func(i, j int) { b[g][i], b[g][j] = b[g][j], b[g][i] })
		}
		if math.Abs(score()) >= math.Abs(rho)-1e-12 {
			reached++
		}
	}
	return rho, float64(reached) / (permutations + 1)
}

func centred(v []float64) []float64 {
	mean := 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for i := range v {
		v[i] -= mean
	}
	return v
}
