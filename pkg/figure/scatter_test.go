package figure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

// A scatter plot draws the intervals that it is given: three more lines for each point, the bar and both caps.
func TestScatterDrawsIntervals(t *testing.T) {
	rows := table.New().AddFloat("x", []float64{1, 2, 3}).AddFloat("y", []float64{1, 3, 2}).AddFloat("low", []float64{0, 2, 1}).AddFloat("high", []float64{2, 4, 3})
	lines := func(lo, hi string) int {
		s := Curves{X: Axis{Column: "x", Label: "x", Unit: "1", Min: pointer(0), Max: pointer(4)}, Y: Axis{Column: "y", Label: "y", Unit: "1", Min: pointer(-1), Max: pointer(5)}, Lo: lo, Hi: hi, Scatter: true}
		f, err := New(s, rows)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := Save(dir, "s", f, map[string]any{}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "s", "s.svg"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "<path")
	}
	if more := lines("low", "high") - lines("", ""); more != 9 {
		t.Errorf("%d lines more with intervals, want 9", more)
	}
}

func pointer(v float64) *float64 { return &v }
