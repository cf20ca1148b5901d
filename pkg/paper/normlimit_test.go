package paper

import (
	"strings"
	"testing"

	"stuffed/pkg/collapse"
)

// What each side says of models of six seeds that differ by the limit alone.
func TestLimitsJudged(t *testing.T) {
	made := func(norm, inside, excess float64) arm {
		a := arm{norm: norm, models: map[int]Model{}, row: "r"}
		for seed := range 6 {
			v := 0.001 * float64(seed*seed%5) * (norm + 1) // seeds differ, and not by the same in each arm
			a.models[seed] = Model{Seed: seed, Failure: collapse.Failure{Inside: collapse.Estimate{Mean: inside + v}, Excess: collapse.Estimate{Mean: excess - v}}}
		}
		return a
	}
	for name, c := range map[string]struct {
		one, two [2]float64 // loss within and excess of the two limits
		want     string
	}{
		"both help for nothing":    {[2]float64{0.5, 0.1}, [2]float64{0.51, 0.05}, Reproduced},
		"both worse and dear":      {[2]float64{0.7, 0.4}, [2]float64{0.8, 0.5}, Contradicted},
		"one helps, dearly":        {[2]float64{0.5, 0.1}, [2]float64{0.7, 0.1}, Mixed},
		"nothing changes":          {[2]float64{0.5, 0.2}, [2]float64{0.5, 0.2}, Undecided},
		"a price of just the edge": {[2]float64{0.55, 0.1}, [2]float64{0.55, 0.1}, Undecided},
	} {
		free := made(0, 0.5, 0.2)
		got := limitsJudged(Claim{}, []arm{free, made(0.6, c.one[0], c.one[1]), made(0.2, c.two[0], c.two[1])}, map[string]string{"r": "of 48 heads 3 reach it"})
		if got.Verdict != c.want || strings.Count(got.Ours, "of 48 heads 3 reach it") != 2 {
			t.Errorf("%s: %s, want %s: %s", name, got.Verdict, c.want, got.Ours)
		}
	}
	// Pairs are of the same seed: an arm without seed 2 loses that pair, and its neighbours keep theirs.
	a, b := made(0.6, 0.6, 0.1), made(0, 0.5, 0.2)
	delete(a.models, 2)
	a.models[3] = Model{Seed: 3, Failure: collapse.Failure{Inside: collapse.Estimate{Mean: 9}}}
	got := a.less(b, inside)
	if len(got) != 5 || got[2] < 8 {
		t.Errorf("differences %v, want five with that of seed 3 in the third place", got)
	}
}
