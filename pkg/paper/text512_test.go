package paper

import (
	"strings"
	"testing"

	"stuffed/pkg/study"
)

// The law over models that know newlines: growth, its opposite, neither; models that do not know them count for nothing
// but stand beside; too few that know, an N without a threshold, none that fails; rows that are missing, all of them.
func TestTextLaw512(t *testing.T) {
	staircase := func(thresholds map[int]int) func(n, T, seed int) planted {
		return func(n, T, seed int) planted {
			return planted{map[bool]float64{true: 0.5}[T < thresholds[n]], 0}
		}
	}
	grows, falls := staircase(map[int]int{16: 300, 64: 600, 256: 1100}), staircase(map[int]int{16: 1100, 64: 600, 256: 300})
	everyone := func(n, T, seed int) bool { return true }
	for name, c := range map[string]struct {
		model      func(n, T, seed int) planted
		knows      func(n, T, seed int) bool
		leave      func(study.Row) bool
		want, says string
	}{
		"grows": {grows, everyone, none, Reproduced, "24 of 24 models know newlines within T, of these 12 fail"},
		"falls": {falls, everyone, none, Contradicted, "12 fail"},
		"flat":  {staircase(map[int]int{16: 600, 64: 600, 256: 600}), everyone, none, Undecided, "documents: 0 of 24 fail"},
		"never": {staircase(nil), everyone, none, NotTestable, "of these 0 fail"},
		"unknowing models fail otherwise": {func(n, T, seed int) planted {
			if T == 2048 {
				return planted{0.5, 0}
			}
			return grows(n, T, seed)
		}, func(n, T, seed int) bool { return T < 2048 }, none, Reproduced, "over all models, deciding nothing: 18 fail"},
		"too few know":          {grows, func(n, T, seed int) bool { return T < 1024 }, none, NotTestable, "12 of 24 models know"},
		"an N without":          {grows, func(n, T, seed int) bool { return n != 64 }, none, NotTestable, "without a threshold: N 64 seed 0, N 64 seed 1"},
		"an N that has not run": {grows, everyone, func(r study.Row) bool { return r.Config.Train.Model.Sizes().State == 64 }, NotTestable, "missing: N 64 T 256"},
		"a seed without":        {grows, func(n, T, seed int) bool { return n != 64 || seed == 0 }, none, Undecided, "without a threshold: N 64 seed 1"},
		"a row missing": {grows, everyone, func(r study.Row) bool {
			return r.Config.Train.Model.Sizes().State == 64 && r.Config.Train.TrainLength == 2048
		}, Reproduced, "missing: N 64 T 2K"},
	} {
		e := plantPlan(t, Text512Plan, 2, c.leave, func(r study.Row, seed int) (planted, float64) {
			n, T := r.Config.Train.Model.Sizes().State, r.Config.Train.TrainLength
			return c.model(n, T, seed), map[bool]float64{true: 0.4, false: 0.6}[c.knows(n, T, seed)]
		})
		e.resamples = 40
		got, err := e.text512()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
	}
	got, err := evidence{root: t.TempDir()}.text512()
	if want := "no rows yet; missing: N 256 T 256, N 16 T 256"; err != nil || got.Verdict != NotTestable || got.Figure != "" || !strings.HasPrefix(got.Ours, want) {
		t.Errorf("no rows: %s, %q, want %q: %v", got.Verdict, got.Ours, want, err)
	}
}
