package trace_test

import (
	"context"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
)

// Histogram counts sum to the number of entries, and the edges enclose the largest magnitude that the trace reports.
func TestHistograms(t *testing.T) {
	r := lm.NewRunner(devices(t)[0], small(t))
	probes := []prompt.Probe{sentence("a", 40), sentence("bb", 33)}
	positions := []int{0, 7, 32}
	hist, err := trace.Histograms(context.Background(), r, probes, positions, 10)
	if err != nil {
		t.Fatal(err)
	}
	if hist.Rows() != 2*4*3*10 {
		t.Fatalf("%d rows", hist.Rows())
	}
	tables, err := trace.Collect(context.Background(), r, probes, trace.Config{Bucket: 1, Columns: []string{"absmax"}})
	if err != nil {
		t.Fatal(err)
	}
	largest := map[[2]int64]float64{} // over prompts and positions
	s := tables[trace.States]
	layer, _ := s.Int("layer")
	head, _ := s.Int("head")
	position, _ := s.Int("position")
	for row, v := range floats(t, s, "absmax") {
		if p := position[row]; p == 0 || p == 7 || p == 32 {
			key := [2]int64{layer[row], head[row]}
			largest[key] = max(largest[key], v)
		}
	}
	layer, _ = hist.Int("layer")
	head, _ = hist.Int("head")
	count, _ := hist.Int("count")
	left, right := floats(t, hist, "left"), floats(t, hist, "right")
	for row := 0; row < hist.Rows(); row += 30 {
		for q := range 3 {
			total := int64(0)
			for b := range 10 {
				total += count[row+10*q+b]
				if left[row+b] != left[row+10*q+b] {
					t.Fatal("edges differ between positions")
				}
			}
			if total != 2*16*20 {
				t.Errorf("row %d position %d: %d entries", row, q, total)
			}
		}
		want := largest[[2]int64{layer[row], head[row]}]
		if got := max(-left[row], right[row+9]); !(got >= want*(1-1e-12) && got <= want*(1+1e-12)) {
			t.Errorf("layer %d head %d: edges reach %g, the largest magnitude is %g", layer[row], head[row], got, want)
		}
	}
	for want, positions := range map[string][]int{"position 33 does not exist": {1, 33}, "do not ascend": {3, 3}, "position -1": {-1}} {
		if _, err := trace.Histograms(context.Background(), r, probes, positions, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v", positions, err)
		}
	}
	if _, err := trace.Histograms(context.Background(), r, probes, positions, 0); err == nil {
		t.Error("no bins are enough")
	}
}
