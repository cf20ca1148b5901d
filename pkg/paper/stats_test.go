package paper

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"strings"
	"testing"

	"stuffed/pkg/collapse"
	"stuffed/pkg/study"
)

// The test over strata is that of all arrangements, counted one by one.
func TestAssociationIsExact(t *testing.T) {
	pairs := []pair{{"a", true, true}, {"a", true, true}, {"a", false, true}, {"a", false, false}, {"a", true, false}, {"b", true, true}, {"b", false, false}, {"b", false, true}}
	both, expected, p := association(pairs)
	if both != 3 || math.Abs(expected-(3*3/5.0+1*2/3.0)) > 1e-12 {
		t.Errorf("%g coincide, %g expected", both, expected)
	}
	all, reached := 0, 0
	for set := range 1 << len(pairs) {
		if bits.OnesCount(uint(set&31)) != 3 || bits.OnesCount(uint(set>>5)) != 2 { // failures of each stratum
			continue
		}
		all++
		n := 0
		for i, q := range pairs {
			if q.a && set>>i&1 == 1 {
				n++
			}
		}
		if float64(n) >= both {
			reached++
		}
	}
	if want := float64(reached) / float64(all); math.Abs(p-want) > 1e-12 {
		t.Errorf("p %g, by enumeration %g", p, want)
	}
	if p := signTest(7, 10); math.Abs(p-0.6291) > 1e-3 {
		t.Errorf("7 against 10: %g", p)
	}
	if p := signTest(0, 6); math.Abs(p-2.0/64) > 1e-12 {
		t.Errorf("0 against 6: %g", p)
	}
}

// Strata that differ as wholes say nothing about the order within them.
func TestRankCorrelationWithinStrata(t *testing.T) {
	var models []Model
	for s := range 4 {
		for k := range 6 {
			m := Model{T: s, State: k}
			m.NS, m.Excess.Mean = float64(10*s+k), float64(10*s-k)
			models = append(models, m)
		}
	}
	byT := func(m Model) string { return fmt.Sprint(m.T) }
	if rho, p := within(models, byT, func(m Model) float64 { return m.NS }, excess); math.Abs(rho+1) > 1e-12 || p > 0.001 {
		t.Errorf("rho %g, p %g, want -1", rho, p)
	}
	if rho, _ := within(models, func(Model) string { return "" }, func(m Model) float64 { return m.NS }, excess); rho < 0.5 {
		t.Errorf("over all %g, want above 0", rho)
	}
}

func TestIntervals(t *testing.T) {
	m := meanOf([]float64{1, 2, 3})
	if m.Value != 2 || math.Abs(m.High-2-4.302653*1/math.Sqrt(3)) > 1e-5 {
		t.Errorf("%+v", m)
	}
	if d := minus([]float64{1, 2, 3}, []float64{1, 2, 3}); d.Value != 0 || !(d.Low < 0 && d.High > 0) {
		t.Errorf("%+v", d)
	}
	if one := meanOf([]float64{4}); !math.IsInf(one.Low, -1) {
		t.Errorf("one model has the interval %+v", one)
	}
}

func TestFrontPageHasTenRows(t *testing.T) {
	list := shippedClaims(t)
	if rows := strings.Count(ShortMarkdown(list), "\n") - 2; rows > 10 || rows < 5 {
		t.Errorf("%d rows, want at most ten", rows)
	}
	ships, err := os.ReadFile("../../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list { // intervals of fits depend on the resamples; verdicts and rules do not
		if !strings.Contains(string(ships), cell.Replace(c.Claim)) || !strings.Contains(string(ships), "**"+c.Verdict+"**") {
			t.Errorf("RESULTS.md lacks %q, %s; run stuffed study claims --results RESULTS.md --readme README.md", c.Claim, c.Verdict)
		}
	}
}

// The shipped studies, read through: the counts that were published wrongly before.
func TestShippedGridIsCountedInOrder(t *testing.T) {
	root := "../../" + study.Shipped
	models, err := Models(root, ForgetPlan)
	if err != nil {
		t.Fatal(err)
	}
	zero := of(models, with("zero"))
	if len(zero) != 48 {
		t.Fatalf("%d models from zeros, want 48", len(zero))
	}
	l := limits
	l.Floor, l.Values = 0, 0 // the ratio as it was published, floor artefact included
	agree, violate, alongN := 0, 0, [2]int{}
	for i, a := range zero {
		for _, b := range zero[i+1:] {
			fa, fb := l.ByRatio(a.Failure) == collapse.Yes, l.ByRatio(b.Failure) == collapse.Yes
			if fa == fb {
				continue
			}
			if a.NS == b.NS && a.T != b.T {
				if fa == (a.T < b.T) {
					agree++
				} else {
					violate++
				}
			}
			if a.T == b.T && a.NS != b.NS {
				if fa == (a.NS > b.NS) {
					alongN[0]++
				} else {
					alongN[1]++
				}
			}
		}
	}
	if agree != 87 || violate != 3 || alongN != [2]int{21, 3} {
		t.Errorf("along T %d for, %d against; along N %v; want 87 and 3, 21 and 3", agree, violate, alongN)
	}
	all, err := Models(root, AllPlans...)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.setting()] {
			t.Errorf("%v is counted twice", m)
		}
		seen[m.setting()] = true
	}
}
