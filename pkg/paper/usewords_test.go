package paper

import (
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// What is said of a measurement follows its table.
func TestReportsOfUse(t *testing.T) {
	two := func(a, b string, n int) (out []string) {
		for i := range 2 * n {
			out = append(out, map[bool]string{true: a, false: b}[i < n])
		}
		return out
	}
	noise := table.New().AddText("model", two("a", "b", 3)).AddFloat("bits", []float64{4, 2, 1, 4, 2, 1}).AddFloat("accuracy", []float64{.8, .5, .3, .6, .5, .4})
	channels := table.New().AddText("model", two("a", "b", 3)).AddFloat("share", []float64{0, .5, 1, 0, .5, 1}).
		AddFloat("rise", []float64{0, .01, 2, 0, 3, 1}).AddFloat("rise_high", []float64{0, .02, 2.5, 0, 3.5, 1.2})
	ranks := table.New().AddText("model", []string{"a", "a", "a", "a", "b"}).AddText("of", []string{"of the state", "of the state", "of the state", "of the past", "of the state"}).
		AddInt("position", []int64{8, 64, 512, 8, 8}).AddFloat("rank", []float64{2, 5, 5.5, 1, 3})
	for _, c := range []struct {
		table *table.Table
		say   func(*table.Table) (string, error)
		want  []string
	}{
		{noise, NoiseReport, []string{"a: 1 to 2, of 0.80 recalled", "b: below 1, of 0.60 recalled"}},
		{channels, ChannelsReport, []string{"a: 50 % (half of them: +0.01 nat);", "b: 0 % (half of them: +3.00 nat), with some left worse (+3.00) than with none (+1.00)"}},
		{ranks, RanksReport, []string{"rank of the state", "a: 2.0 after 8 tokens, 5.0 after 64, 5.5 after 512; b: 3.0"}},
	} {
		text, err := c.say(c.table)
		for _, want := range c.want {
			if err != nil || !strings.Contains(text, want) {
				t.Errorf("%q is not in %q (%v)", want, text, err)
			}
		}
		if _, err := c.say(table.New().AddText("of", []string{"x"})); err == nil {
			t.Error("a table without the columns")
		}
	}
	text, err := HeldReport(filepath.Join("..", "..", study.Shipped), "capacity")
	if err != nil || !strings.Contains(text, "models); T ") {
		t.Errorf("%v: %s", err, text)
	}
}
