package paper

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/study"
)

// plantedLaw are three models of each of five sizes whose keys follow a law, apart from a little noise.
func plantedLaw(items float64, law func(n float64) float64) Recalling {
	r := Recalling{T: 512, Items: items}
	for _, n := range []float64{1e4, 2e4, 4e4, 8e4, 16e4} {
		for _, e := range []float64{-0.03, 0, 0.03} {
			r.Scalars, r.Keys = append(r.Scalars, n), append(r.Keys, law(n)*math.Exp(e))
		}
	}
	return r
}

func TestGrowth(t *testing.T) {
	for want, r := range map[string]Recalling{
		"goes on":               plantedLaw(1000, func(n float64) float64 { return 0.1 * math.Sqrt(n) }),
		"has stopped":           plantedLaw(1000, func(n float64) float64 { return 50 * n / (n + 1e3) }),
		"the stream is used up": plantedLaw(51, func(n float64) float64 { return 50 * n / (n + 1e3) }),
	} {
		g, err := r.Growth()
		if err != nil || g.Verdict != want || !(g.Low <= g.Slope && g.Slope <= g.High) {
			t.Errorf("%+v, %v; want %q", g, err, want)
		}
	}
	two := plantedLaw(9, math.Sqrt)
	two.Scalars, two.Keys = two.Scalars[:6], two.Keys[:6]
	if _, err := two.Growth(); err == nil {
		t.Error("two sizes pass for a test")
	}
}

func TestBendFindsTheLaw(t *testing.T) {
	stops := plantedLaw(1000, func(n float64) float64 { return 50 * n / (n + 3e4) })
	b := bend(stops.Scalars, stops.Keys)
	if math.Abs(b.Ceiling/50-1) > 0.05 || math.Abs(b.Half/3e4-1) > 0.1 || b.Preferred < 2 {
		t.Errorf("a law that stops: %+v", b)
	}
	grows := plantedLaw(1000, func(n float64) float64 { return 0.1 * math.Pow(n, 0.7) })
	if b = bend(grows.Scalars, grows.Keys); math.Abs(b.Power-0.7) > 0.02 || math.Abs(b.Scale-math.Log(0.1)) > 0.2 || b.Preferred > -2 {
		t.Errorf("a power law: %+v", b)
	}
}

func TestSaturationOfWhatShips(t *testing.T) {
	root := filepath.Join("..", "..", study.Shipped)
	all, err := Recallings(root, "capacity")
	if err != nil || len(all) < 2 {
		t.Fatal(all, err)
	}
	text, err := SaturationReport(root, "capacity")
	if err != nil || strings.Count(text, "\n") < 4 {
		t.Error(text, err)
	}
	t.Log(text)
}
