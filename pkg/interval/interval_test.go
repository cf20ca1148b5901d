package interval

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Known quantiles of Student's t: 12.706 for one degree of freedom, 2.262 for nine.
func TestStudentAgainstTables(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		half float64
	}{
		{[]float64{1, 3}, 12.7062047 * math.Sqrt2 / math.Sqrt2},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 2.26215716 * math.Sqrt(82.5/9) / math.Sqrt(10)},
	} {
		mean, low, high := Student(c.v)
		if want := (c.v[0] + c.v[len(c.v)-1]) / 2; mean != want || math.Abs(high-mean-c.half) > 1e-6 || math.Abs(mean-low-c.half) > 1e-6 {
			t.Errorf("%v: %g [%g, %g], want %g ± %g", c.v, mean, low, high, want, c.half)
		}
	}
	if mean, low, high := Student([]float64{2}); mean != 2 || !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("one value: %g [%g, %g]", mean, low, high)
	}
	if mean, _, _ := Student(nil); !math.IsNaN(mean) {
		t.Errorf("no value: %g", mean)
	}
}

func TestRange(t *testing.T) {
	if mean, low, high := Range([]float64{3, 1, 2}); mean != 2 || low != 1 || high != 3 {
		t.Errorf("%g [%g, %g]", mean, low, high)
	}
	if mean, low, high := Range(nil); !math.IsNaN(mean) || !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("no value: %g [%g, %g]", mean, low, high)
	}
}

// For any number of draws both tails are equally large and together hold at most one draw in twenty.
func TestPercentilesLeaveAsManyOutOnBothSides(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 300; n++ {
		draws := make([]float64, n)
		for i, p := range r.Perm(n) {
			draws[i] = float64(p)
		}
		low, high := Percentiles(draws)
		if below, above := low, float64(n-1)-high; below != above || below+above > float64(n)/20 || below+above+2 <= float64(n)/20 {
			t.Fatalf("%d draws: %g below, %g above", n, below, above)
		}
	}
	if low, high := Percentiles(nil); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("no draws: [%g, %g]", low, high)
	}
}
