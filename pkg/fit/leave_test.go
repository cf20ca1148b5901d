package fit

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRefitsReachTheTop holds every fit without one bracket against forty searches from disturbed places. The brackets are like those of
// the study forget: a threshold that hardly moves with N, where the curved forms have ridges.
func TestRefitsReachTheTop(t *testing.T) {
	below := math.Inf(-1)
	points := []Point{{0.016384, 0.064, 0.096}, {0.016384, 0.064, 0.096}, {0.016384, 0.096, 0.128}}
	for _, n := range []float64{0.032768, 0.065536, 0.131072} {
		points = append(points, slices.Repeat([]Point{{n, 0.064, 0.128}}, 3)...)
	}
	points = append(points, Point{0.262144, below, 0.064}, Point{0.262144, below, 0.064}, Point{0.262144, 0.064, 0.128})
	f := newFitter(points, onLog)
	for _, form := range Forms() {
		e := f.fit(form, nil)
		for _, i := range []int{0, 2, 12, 14} {
			again, random := f.without(i), rand.New(rand.NewPCG(uint64(i), 1))
			found := again.refit(e)
			best := found.score
			for range 40 {
				x := slices.Clone(found.x)
				for k := range x {
					x[k] += random.NormFloat64()
				}
				best = max(best, again.climb(form, x, 3, 600).score)
			}
			if best > found.score+1e-3 {
				t.Errorf("%s without point %d: score %.5f at %v, another search %.5f", form.Name, i, found.score, found.params, best)
			}
		}
	}
}
