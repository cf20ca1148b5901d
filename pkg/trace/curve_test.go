package trace

import (
	"math"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func TestCurves(t *testing.T) {
	in := table.New().AddText("prompt", []string{"a", "a", "a", "a", "b", "b", "b", "b"}).
		AddInt("position", []int64{0, 1, 2, 3, 0, 1, 2, 3}).AddInt("tokens", []int64{1, 1, 1, 1, 1, 1, 1, 1}).
		AddInt("layer", []int64{0, 0, 0, 0, 0, 0, 0, 0}).
		AddFloat("norm", []float64{1, 2, 3, 5, 3, 4, 7, math.NaN()}).
		AddFloat("retention", []float64{1, 0.5, 0.25, 0.125, 1, 0.5, 0.5, 0.5})
	got, err := Curves(in, 1, "norm", "retention")
	if err != nil {
		t.Fatal(err)
	}
	quantity, _ := got.Text("quantity")
	read, _ := got.Int("read")
	value, _ := got.Float("value")
	low, _ := got.Float("low")
	prompts, _ := got.Int("prompts")
	if !slices.Equal(read, []int64{1, 2, 4, 1, 2, 4}) || quantity[3] != "retention" || got.Has("head") {
		t.Fatalf("read %v of %v", read, quantity)
	}
	// tokens 3 and 4 are one run; of prompt b its mean is missing
	for i, want := range []float64{2, 3, 4, 1, 0.5, 0.3125} {
		if math.Abs(value[i]-want) > 1e-12 {
			t.Errorf("value %d is %g, want %g", i, value[i], want)
		}
	}
	if !slices.Equal(prompts, []int64{2, 2, 1, 2, 2, 2}) || !math.IsNaN(low[2]) {
		t.Errorf("prompts %v, low %v", prompts, low)
	}
	if want := 2 - 12.706204736432095; math.Abs(low[0]-want) > 1e-6 { // t 0.975 with one degree of freedom, standard error 1
		t.Errorf("low %g, want %g", low[0], want)
	}
	if _, err := Curves(in, 1, "median"); err == nil || !strings.Contains(err.Error(), "median") {
		t.Errorf("error %v", err)
	}
	if _, err := Curves(in, 0, "norm"); err == nil {
		t.Error("no points per octave are enough")
	}
}
