package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/table"
)

// explodes compares exploding and growing states with failures, over all studies.
func (e evidence) explodes() (Claim, error) {
	c := Claim{ID: "explosion", Where: "v1 Fig. 4, v2 Fig. 5", Claim: "state explosion and failure go together", Paper: "3 heads of 8 shown", Figure: "11_growth",
		Rule: "a head explodes when its norm stays above twice its in-window maximum and above what filling up can explain (1 − r^L)/(1 − r), r what it retains over T within the window, L the length in T; two sides: whether most failing models explode (Wilson interval of the share against one half), and whether explosion and failure coincide beyond chance among models of one stream and T (exact one-sided test over strata, p below 0.05; above 0.5 speaks against)"}
	models := e.all
	if len(models) == 0 {
		_, err := e.fromZeros()
		return c, err
	}
	failing := of(models, Model.failing)
	if len(failing) == 0 || len(failing) == len(models) {
		return c, orMissing(nil, "models that fail and models that do not")
	}
	sound := of(models, func(m Model) bool { return !m.failing() })
	var said []string
	var sides []Side
	for i, kind := range []struct {
		name string
		is   func(Model) bool
	}{{"explode beyond filling", Model.Explodes}, {"grow by 2", Model.Grows}} {
		a, b := count(failing, kind.is), count(sound, kind.is)
		var pairs []pair
		for _, m := range models {
			pairs = append(pairs, pair{m.condition(), kind.is(m), m.failing()})
		}
		both, expected, p := association(pairs)
		said = append(said, fmt.Sprintf("%s: %d of %d failing models, %d of %d others; of one stream and T %.0f coincide, %.1f expected (p %.2g)", kind.name, a, len(failing), b, len(sound), both, expected, p))
		if i == 0 {
			low, high, err := prompt.Wilson(a, len(failing), 1.96)
			if err != nil {
				return c, err
			}
			sides = append(sides, decided(low > 0.5, high < 0.5), decided(p < 0.05, p > 0.5))
			if open := Verdict(sides[0], Open); p > 0.5 && p < 0.95 && open != Verdict(sides...) {
				said[0] += fmt.Sprintf(", which the rule counts against the claim, though it is no more than chance: left open, it would leave the verdict %s", open)
			}
			c.Plain = fmt.Sprintf("a head grows more than filling up explains in %d of %d failing models, %d of %d others", a, len(failing), b, len(sound))
		}
	}
	if m, found := strongest(failing, func(m Model) bool { return !m.Grows() }, excess); found {
		said = append(said, fmt.Sprintf("failure without growth: %d models, the strongest %v, excess %.2g nat", count(failing, func(m Model) bool { return !m.Grows() }), m, excess(m)))
	}
	if m, found := strongest(sound, Model.Grows, growthOf); found {
		said = append(said, fmt.Sprintf("growth without failure: %d models, the strongest %v, a head that retains %.3g over T grows %.0f times, excess %.2g nat", count(sound, Model.Grows), m, m.Top().Retained, m.Top().Growth, excess(m)))
	}
	measured, err := e.coherent()
	if err != nil {
		return c, err
	}
	if measured != "" {
		said = append(said, measured)
	}
	c.Ours = strings.Join(said, "; ") + e.leftOut()
	c.Verdict = Verdict(sides...)
	return c, nil
}

// keeps is the share retained over T above which a head counts as holding more than its last write; below it the cosine between
// its writes is undefined.
const keeps = 0.01

// coherent says how much of the growth is explained by filling up at the measured coherence of writes, in the models whose
// weights are shipped; empty where coherence was not measured.
func (e evidence) coherent() (string, error) {
	t, err := table.Read(filepath.Join(e.root, "memory", "coherence.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	c, err := readOf(t, []string{"model"}, []string{"retained", "growth", "coherence", "expected", "coherent"})
	if err != nil {
		return "", err
	}
	models, above, over := map[string]bool{}, 0, 0
	var cosines, explained, grown []float64
	for i, growth := range c.float["growth"] {
		if c.float["retained"][i] < keeps {
			continue
		}
		models[c.text["model"][i]] = true
		ratio := growth / c.float["expected"][i]
		cosines, explained = append(cosines, c.float["coherence"][i]), append(explained, ratio)
		if growth > limits.Factor {
			grown = append(grown, ratio)
		}
		if ratio > drift {
			above++
		}
		if growth > drift*c.float["coherent"][i] {
			over++
		}
	}
	if len(explained) == 0 {
		return "", nil
	}
	slices.Sort(cosines)
	slices.Sort(explained)
	n := len(explained)
	text := fmt.Sprintf("in %d models whose weights ship, mean cosine of a head's writes %.2g (median of %d heads that keep at least %g %% over T, %.2g … %.2g), growth over that expected at the head's own retention and coherence %.2g (median), more than %g times in %d heads, and in %d of the bound that all writes point the same way",
		len(models), cosines[n/2], n, 100*keeps, cosines[0], cosines[n-1], explained[n/2], drift, above, over)
	if len(grown) > 0 {
		text += fmt.Sprintf("; in the %d heads that grow more than %g times, growth over that expected is %.2g … %.2g", len(grown), limits.Factor, slices.Min(grown), slices.Max(grown))
	}
	return text, nil
}

func growthOf(m Model) float64 { return m.Top().Growth }

func strongest(models []Model, is func(Model) bool, by func(Model) float64) (best Model, found bool) {
	for _, m := range of(models, is) {
		if !found || by(m) > by(best) {
			best, found = m, true
		}
	}
	return best, found
}

func (e evidence) order() (Claim, error) {
	c := Claim{ID: "explosion first", Where: "v1 §4 (asked by reviewers)", Claim: "the state explodes before the loss degrades", Paper: "not measured", Figure: "11_order",
		Rule: "models of all studies that degrade by the strict rule, by which onset comes first; two-sided sign test of state against loss below 0.05"}
	strict := of(e.all, func(m Model) bool { return m.Strict })
	if len(strict) == 0 {
		_, err := e.fromZeros()
		return c, orMissing(err, "a model that degrades by the strict rule")
	}
	n := map[string]int{}
	for _, m := range strict {
		n[m.First]++
	}
	p := signTest(n["state"], n["loss"])
	c.Ours = fmt.Sprintf("of %d models that degrade by the strict rule: growth by 2 first in %d, loss first in %d, undecided in %d; p %.2g", len(strict), n["state"], n["loss"], n["undecided"], p)
	c.Verdict = Verdict(decided(p < 0.05 && n["state"] > n["loss"], p < 0.05 && n["loss"] > n["state"]))
	return c, nil
}

// growth compares the growth of states with the excess loss.
func (e evidence) growth() (Claim, error) {
	c := Claim{ID: "growth means failure", Where: "v1 §4, v2 §4", Claim: "the more a state grows beyond T, the more the loss does", Paper: "joint curves of one model", Figure: "11_growth",
		Rule: "rank correlation of the largest growth of a head with the excess loss among models of one stream and T, from zeros; permutation test, two-sided, below 0.05"}
	models, err := e.fromZeros()
	if err != nil {
		return c, err
	}
	rho, p := within(models, Model.condition, growthOf, excess)
	order := slices.Clone(models)
	slices.SortStableFunc(order, func(a, b Model) int {
		switch x, y := growthOf(a), growthOf(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	var top []string
	for _, m := range order[:min(6, len(order))] {
		state := "holds"
		if m.failing() {
			state = "fails"
		}
		top = append(top, fmt.Sprintf("%.0f× (N %d, T %d, seed %d, retained %.3g, %s, excess %.2g)", growthOf(m), m.State, m.T, m.Seed, m.Top().Retained, state, excess(m)))
	}
	c.Ours = fmt.Sprintf("rank correlation %.2f (p %.2g, %d models); the largest growths: %s", rho, p, len(models), strings.Join(top, ", "))
	c.Verdict = Verdict(decided(rho > 0 && p < 0.05, rho < 0 && p < 0.05))
	return c, nil
}

const (
	keptV1 = 0.8   // v1 Fig. 7, at 8K
	keptV2 = 0.997 // v2 Fig. 3, at 8K
)

func kept(m Model) float64 { return m.Keeper().Retained }

func (e evidence) retains() (Claim, error) {
	c := Claim{ID: "retention", Where: "v2 Fig. 3, v1 Fig. 7", Claim: "some heads keep nearly all of the first token at T", Paper: "> 0.997 (v2), > 0.8 (v1) at 8K", Figure: "11_retention",
		Rule: fmt.Sprintf("what the most retentive head of a model keeps over T tokens of the window, all studies; a condition (stream, T and initial state) decides for the claim when at least half of its models have a head above %g, against it when at most a tenth have", keptV1)}
	if len(e.all) == 0 {
		_, err := e.fromZeros()
		return c, err
	}
	var sides []Side
	var said []string
	names, by := groups(e.all, func(m Model) string { return m.condition() + ", " + m.Policy })
	for _, name := range names {
		some := by[name]
		if len(some) < fewest {
			continue
		}
		n := count(some, func(m Model) bool { return kept(m) > keptV1 })
		sides = append(sides, decided(2*n >= len(some), 10*n <= len(some)))
		said = append(said, fmt.Sprintf("%s: %d of %d above %g, top %.3g", name, n, len(some), keptV1, slices.Max(values(some, kept))))
	}
	best, _ := strongest(e.all, func(Model) bool { return true }, kept)
	n := count(e.all, func(m Model) bool { return kept(m) > keptV1 })
	c.Ours = fmt.Sprintf("%d of %d models have a head above %g, %d above %g; the most retentive: %v, %.3f (excess %.2g nat); %s",
		n, len(e.all), keptV1, count(e.all, func(m Model) bool { return kept(m) >= keptV2 }), keptV2, best, kept(best), excess(best), strings.Join(said, "; ")+e.leftOut())
	c.Verdict = Verdict(sides...)
	return c, nil
}

// retentionGrows judges the reading that over-retention makes states grow, head by head.
func (e evidence) retentionGrows() (Claim, error) {
	c := Claim{ID: "retention and growth", Where: "v2 §4 (asked by reviewers)", Claim: "the heads that retain most are those whose states grow most", Paper: "heads 2, 4 and 7 of one layer", Figure: "11_growth",
		Rule: "rank correlation over the heads of each model, its mean over the models of one stream and T, of at least five, with a 95 % interval over models; a condition decides for the claim when the interval lies above 0, against it when it lies below"}
	if len(e.all) == 0 {
		_, err := e.fromZeros()
		return c, err
	}
	names, by := groups(e.all, Model.condition)
	var sides []Side
	var said []string
	all := []float64{}
	for _, name := range names {
		var rhos []float64
		for _, m := range by[name] {
			if r := m.headCorrelation(); !math.IsNaN(r) {
				rhos = append(rhos, r)
			}
		}
		if len(rhos) < 5 {
			continue
		}
		all = append(all, rhos...)
		mean := meanOf(rhos)
		sides = append(sides, decided(mean.Low > 0, mean.High < 0))
		said = append(said, fmt.Sprintf("%s: %v over %d models", name, mean, mean.N))
	}
	c.Ours = fmt.Sprintf("mean rank correlation %v over %d models; %s", meanOf(all), len(all), strings.Join(said, "; "))
	c.Verdict = Verdict(sides...)
	return c, nil
}

func (m Model) headCorrelation() float64 {
	var x, y []float64
	for _, h := range m.All {
		x, y = append(x, h.Retained), append(y, h.Growth)
	}
	if len(x) < 4 {
		return math.NaN()
	}
	return rank(x, y)
}
