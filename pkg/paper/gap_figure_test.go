package paper

import (
	"testing"

	"stuffed/pkg/study"
)

// TestGapFigure: of 30 models with the same window, those whose pairs come back late fail, and no other.
func TestGapFigure(t *testing.T) {
	f, err := Draw("09_gap", "../../"+study.Shipped)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := f.Table.Text("stream")
	if err != nil {
		t.Fatal(err)
	}
	excess, err := f.Table.Float("excess")
	if err != nil {
		t.Fatal(err)
	}
	fails, all := map[string]int{}, map[string]int{}
	for i, name := range stream {
		all[name]++
		if excess[i] >= limits.Excess {
			fails[name]++
		}
	}
	for name, want := range map[string][2]int{"recall, gap 64": {0, 15}, "recall, gap = T": {15, 15}} {
		if fails[name] != want[0] || all[name] != want[1] {
			t.Errorf("%s: %d of %d fail, want %d of %d", name, fails[name], all[name], want[0], want[1])
		}
	}
}
