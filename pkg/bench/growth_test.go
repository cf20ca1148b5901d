package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/figure"
	"stuffed/xla"
)

func TestSlope(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	all, last := Slope(x, []float64{3, 12, 48, 192})
	if math.Abs(all-2) > 1e-12 || math.Abs(last-2) > 1e-12 {
		t.Errorf("a square has exponents %g and %g", all, last)
	}
	if _, last = Slope(x, []float64{5, 5, 5, 10}); math.Abs(last-1) > 1e-12 {
		t.Errorf("the last two give %g", last)
	}
	if all, _ = Slope([]float64{1}, []float64{1}); !math.IsNaN(all) {
		t.Errorf("one point gives %g", all)
	}
}

func TestGrowthPoints(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for axis, value := range map[string]int{"T, step": 32, "T, pieces": 64} {
		var out bytes.Buffer
		if err := GrowthChild(t.Context(), d, axis, value, &out); err != nil {
			t.Fatal(err)
		}
		var p growthAnswer
		if err := json.Unmarshal(out.Bytes(), &p); err != nil || p.Value != value || p.Seconds <= 0 || p.Backend != "go" {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if err := GrowthChild(t.Context(), d, "height", 1, nil); err == nil {
		t.Error("an axis that there is not")
	}
	for axis, value := range map[string]int{"rows": 5, "workers": 2} {
		if s, err := storeSeconds(t.Context(), axis, value); err != nil || s <= 0 {
			t.Errorf("%s: %g s, %v", axis, s, err)
		}
	}
}

// A full disk is no wall: the report stops before it, so that the same command measures the axis again.
func TestGrowthStopsAtAPassingLack(t *testing.T) {
	program := fake(t, "echo write x: no space left on device >&2; exit 1")
	err := Growth{Command: []string{program}, Only: []string{"layers"}}.Report(t.Context(), func(_ *GrowthReport, p GrowthPoint) error {
		t.Errorf("recorded %+v", p)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "layers = 1: ") || !strings.Contains(err.Error(), "no space left") {
		t.Error(err)
	}
}

// The page says exponents and walls of what was measured: here time grows with the square and memory in proportion.
func TestGrowthPage(t *testing.T) {
	program := fake(t, `
for last; do :; done
[ "$last" = 16 ] && { echo no memory >&2; exit 1; }
echo '{"axis":"layers","value":'$last',"seconds":'$((last * last))',"memory":'$((last * 1000000))',"Backend":"cuda","Device":"G","Total":8000000}'`)
	var report *GrowthReport
	err := Growth{Command: []string{program}, Only: []string{"layers"}}.Report(t.Context(), func(r *GrowthReport, _ GrowthPoint) error { report = r; return nil })
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	for _, n := range []int{10, 100} { // the store's cost per row grows with the square root here
		report.Points = append(report.Points, GrowthPoint{Axis: "rows", Value: n, Seconds: 0.001 * math.Pow(float64(n), 1.5), Runs: 1})
	}
	if err := report.Write(path); err != nil {
		t.Fatal(err)
	}
	text, f, err := GrowthPage(path, nil, "growth")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| layers: a training step, T 256 | 1 … 4 layers | 1 s → 16 s | 2.00, 2.00 | 1.00, 1.00 | met: 16 layers fail |", "| layers | 16 |  |  | exit status 1 no memory |", "64 nodes of 8 GPUs", "exponent of the whole 1.50"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if err := f.Save(dir, "growth"); err != nil {
		t.Fatal(err)
	}
	if err := figure.Check(dir, "growth"); err != nil {
		t.Error(err)
	}
	points := len(report.Points)
	if report, err = ReadGrowth(path); err != nil {
		t.Fatal(err)
	}
	again := Growth{Command: []string{"/does/not/exist"}, Only: []string{"layers"}, Before: report} // nothing is left to measure
	if err := again.Report(t.Context(), nil); err != nil || len(report.Points) != points {
		t.Errorf("%d points of %d after going on, %v", len(report.Points), points, err)
	}
	report.Points = report.Points[:2]
	if err := report.Write(path); err != nil {
		t.Fatal(err)
	}
	if text, _, err = GrowthPage(path, nil, "growth"); err != nil || !strings.Contains(text, "memory (8 MB): at about 8 layers") {
		t.Errorf("%v\n%s", err, text)
	}
	if err := os.WriteFile(path, []byte(`{"points": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := GrowthPage(path, nil, "growth"); err == nil || !strings.Contains(err.Error(), "no points") {
		t.Error(err)
	}
}

// A wall is the nearer of memory and time by the steeper exponent, and none far beyond what was measured.
func TestWalls(t *testing.T) {
	r, a := &GrowthReport{Memory: 64e9}, Axis{Unit: "tokens"}
	values, square := []float64{10, 100, 1000}, []float64{1e-4, 1e-2, 1}
	for want, costs := range map[string][2][]float64{
		"memory (64 GB): at about 8,000 tokens":     {square, {1e5, 1e7, 1e9}},
		"time: an hour for one at about 60,000 ":    {square, {1e3, 1e3, 1e3}},
		"none within 1,000 times what was measured": {{1e-6, 1e-5, 1e-4}, {1e3, 1e3, 1e3}},
	} {
		if got := r.wall(a, values, costs[0], costs[1], nil); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := storeWall(1000, 0.01, 1, 30); !strings.Contains(got, "within 1,000 times") {
		t.Error(got)
	}
	if got := storeWall(1000, 0.3, 1, 30); !strings.Contains(got, "about 100,000 rows") {
		t.Error(got)
	}
}
