package paper

import (
	"strings"
	"testing"

	"stuffed/pkg/study"
)

// Verdicts on models of the paper's sizes: both fail, both hold, one of each, one that does not know newlines; the longer
// window cures, does not, is not asked; rows that are missing.
func TestScaleBridge(t *testing.T) {
	type row struct{ excess, within float64 }
	fails, holds, unknowing := row{0.5, 0.1}, row{0, 0.1}, row{0.5, 0.9}
	for name, c := range map[string]struct {
		small, large, long row
		leave              func(study.Row) bool
		size, cure, says   string
	}{
		"fail, cured":       {fails, fails, holds, none, Reproduced, Reproduced, "16 heads, T 512: fails on newlines, 0.10 nat within, excess 0.50"},
		"fail, not cured":   {fails, fails, fails, none, Reproduced, Contradicted, "24 heads, T 512: fails"},
		"hold":              {holds, holds, holds, none, Contradicted, NotTestable, "holds on documents"},
		"one of each":       {fails, holds, holds, none, Undecided, Reproduced, "24 heads, T 512: holds"},
		"one does not know": {fails, unknowing, holds, none, Undecided, Reproduced, "0.90 nat within"},
		"no long one":       {fails, fails, holds, func(r study.Row) bool { return r.Config.Train.TrainLength == bridgeLong }, Reproduced, NotTestable, "missing: N 128 T 8K width 512"},
		"one size":          {fails, fails, holds, func(r study.Row) bool { return r.Config.Train.Model.Sizes().Heads == 24 }, NotTestable, Reproduced, "missing: N 128 T 512 width 768"},
	} {
		e := plantPlan(t, BridgePlan, 1, c.leave, func(r study.Row, _ int) (planted, float64) {
			m := c.small
			switch {
			case r.Config.Train.TrainLength == bridgeLong:
				m = c.long
			case r.Config.Train.Model.Sizes().Heads == 24:
				m = c.large
			}
			return planted{m.excess, 0}, m.within
		})
		size, err := e.bridgeFails()
		if err != nil || size.Verdict != c.size || !strings.Contains(size.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, size.Verdict, c.size, c.says, err, size.Ours)
		}
		if cure, err := e.bridgeCures(); err != nil || cure.Verdict != c.cure {
			t.Errorf("%s: %s, want %s: %v\n%s", name, cure.Verdict, c.cure, err, cure.Ours)
		}
	}
	for _, judge := range []func(evidence) (Claim, error){evidence.bridgeFails, evidence.bridgeCures} {
		got, err := judge(evidence{root: t.TempDir()})
		if want := "no rows yet; missing: N 128 T 512 width 768, N 128 T 512 width 512, N 128 T 8K width 512"; err != nil || got.Verdict != NotTestable || got.Ours != want {
			t.Errorf("no rows: %s, %q, want %q: %v", got.Verdict, got.Ours, want, err)
		}
	}
}
