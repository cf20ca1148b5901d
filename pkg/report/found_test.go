package report

import (
	"math"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func TestAtEnds(t *testing.T) {
	in := table.New().AddText("quantity", []string{"a", "a", "a", "a", "a", "b", "b"}).AddText("head", []string{"1", "1", "1", "2", "2", "1", "1"}).
		AddFloat("read", []float64{64, 16, 128, 64, 256, 64, 32}).AddFloat("value", []float64{2, 9, 5, 1, 3, 4, 8})
	got, err := AtEnds(in, 64)
	if err != nil {
		t.Fatal(err)
	}
	for row, want := range [][3]float64{{2, 5, 2.5}, {1, 3, 3}, {4, 4, 1}} {
		for i := range want {
			if v := got.Columns[2+i].Floats[row]; v != want[i] {
				t.Errorf("row %d column %d: %g, want %g", row, i, v, want[i])
			}
		}
	}
	if _, err := AtEnds(in, 8); err == nil || !strings.Contains(err.Error(), "within 8 tokens") {
		t.Errorf("nothing within: %v", err)
	}
}

func TestWords(t *testing.T) {
	nan := math.NaN()
	got, err := Words(table.New().AddText("kind", []string{"documents", "newlines"}).AddInt("explosion", []int64{0, 1}).AddFloat("explosion_onset", []float64{nan, 112}).
		AddInt("strict", []int64{0, 1}).AddFloat("degradation_onset", []float64{nan, 96}).AddFloat("level", []float64{1.4, 2}).AddFloat("worst", []float64{1.5, 3}))
	want := "- documents: no state grows lastingly; the loss does not degrade by the strict rule (1.4 nat within the training length, 1.5 in the worst bucket beyond it)\n" +
		"- newlines: a state stays above twice its largest within the training length from token 112 on; the loss degrades by the strict rule from token 96 on (2 nat within the training length, 3 in the worst bucket beyond it)\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}
