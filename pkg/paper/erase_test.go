package paper

import (
	"strings"
	"testing"

	"stuffed/pkg/collapse"
)

// What RULES.md says of planted pairs: the excess of both arms, how many pairs there are, and how far single differences scatter.
func TestErasingJudged(t *testing.T) {
	model := func(seed int, excess float64) Model {
		return Model{Seed: seed, InsideRecall: 0.9, Failure: collapse.Failure{Inside: collapse.Estimate{Mean: 0.5}, Far: collapse.Estimate{Mean: 0.5 + excess},
			Excess: collapse.Estimate{Mean: excess, Low: excess - 0.01, High: excess + 0.01, Values: 9}}}
	}
	for name, c := range map[string]struct {
		whole, lacking, scatter float64
		pairs                   int
		want                    string
	}{
		"erasing cures":                {0.05, 0.2, 0, 8, shown},
		"erasing helps":                {0.15, 0.3, 0, 8, inPart},
		"erasing harms":                {0.3, 0.15, 0, 8, Contradicted},
		"nothing to be cured":          {0.01, 0.08, 0, 8, NotTestable},
		"too few":                      {0.05, 0.2, 0, 5, NotTestable},
		"by less than is asked":        {0.1, 0.13, 0, 8, Undecided},
		"pairs that say nothing alike": {0.2, 0.26, 0.5, 8, Undecided},
	} {
		w := Without{map[int]Model{}, map[int]Model{}}
		for seed := range 8 {
			a, b := model(seed, c.whole), model(seed, c.lacking+c.scatter*float64(1-seed%2*2))
			if seed >= c.pairs {
				b.InsideRecall = 0.3
			}
			w.Whole[seed], w.Lacking[seed] = a, b
		}
		if c.scatter > 0 { // those that fail are the ones that scatter upwards
			w.Lacking[1] = model(1, 0.5)
		}
		got, said := w.Verdict()
		if got != c.want || !strings.Contains(said, "pairs") {
			t.Errorf("%s: %s, want %s: %s", name, got, c.want, said)
		}
	}
	w := Without{map[int]Model{1: model(1, 0), 2: model(2, 0)}, map[int]Model{2: model(2, 1), 3: model(3, 1)}}
	if whole, lacking := w.pairs(); len(whole) != 1 || whole[0].Seed != 2 || lacking[0].Seed != 2 {
		t.Errorf("pairs %v and %v, want those of seed 2", whole, lacking)
	}
}
