package paper

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
	"stuffed/pkg/table"
)

// boundEffect is what bounding α does to one model: changes of the excess on newlines.
type boundEffect struct {
	Model           string
	NS              float64 // millions of scalars
	Fails           bool    // without a bound
	Dose            float64
	Chosen, Control float64 // nats: in the fastest-growing heads, and in other heads, mean over control sets
	Controls        int
	Cost            float64 // nats: change of the loss on documents within the window, in the chosen heads
}

func (b boundEffect) paired() float64 { return b.Chosen - b.Control }

// boundTables joins the tables of intervene.Bounded from one or more runs, each with its own manifest.
func boundTables(root string) (*table.Table, error) {
	paths, err := filepath.Glob(filepath.Join(root, "interventions", "bounded*.csv"))
	if err != nil {
		return nil, err
	}
	var all *table.Table
	for _, path := range paths {
		t, err := table.Read(path)
		switch {
		case err != nil:
			return nil, err
		case all == nil:
			all = t
		default:
			if err := all.Append(t); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	if all == nil {
		return nil, fmt.Errorf("%w: no intervention on a model of text has run (stuffed bounded)", errNothing)
	}
	return all, nil
}

// boundEffects reads the tables of intervene.Bounded.
func boundEffects(root string) ([]boundEffect, error) {
	t, err := boundTables(root)
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"model", "set"}, []string{"n_s", "dose", "excess", "excess_low", "excess_high", "documents"})
	if err != nil {
		return nil, err
	}
	base := map[string]int{}
	for i, set := range c.text["set"] {
		if set == "none" {
			base[c.text["model"][i]] = i
		}
	}
	var out []boundEffect
	for i, set := range c.text["set"] {
		if set == "none" {
			continue
		}
		model, dose := c.text["model"][i], c.float["dose"][i]
		b, known := base[model]
		if !known {
			return nil, fmt.Errorf("bounded heads: model %s has no row of set none; run it again", model)
		}
		at := slices.IndexFunc(out, func(e boundEffect) bool { return e.Model == model && e.Dose == dose })
		if at < 0 {
			failure := collapse.Failure{Excess: collapse.Estimate{Mean: c.float["excess"][b], High: c.float["excess_high"][b], Low: c.float["excess_low"][b], Values: 2}} // 2: an interval is given only for two or more sequences
			out, at = append(out, boundEffect{Model: model, NS: c.float["n_s"][b], Fails: limits.ByExcess(failure) == collapse.Yes, Dose: dose}), len(out)
		}
		e, change := &out[at], c.float["excess"][i]-c.float["excess"][b]
		if set == "chosen" {
			e.Chosen, e.Cost = change, c.float["documents"][i]-c.float["documents"][b]
		} else {
			e.Control, e.Controls = (e.Control*float64(e.Controls)+change)/float64(e.Controls+1), e.Controls+1
		}
	}
	return slices.DeleteFunc(out, func(e boundEffect) bool { return e.Controls == 0 }), nil
}

// referenceDose returns the largest dose that costs less than 0.05 nat on documents, mean over models, or the smallest dose if
// none does.
func referenceDose(effects []boundEffect) float64 {
	costs, smallest, best := map[float64][]float64{}, 0.0, 0.0
	for _, e := range effects {
		costs[e.Dose] = append(costs[e.Dose], e.Cost)
		if smallest == 0 || e.Dose < smallest {
			smallest = e.Dose
		}
	}
	for dose, v := range costs {
		if meanOf(v).Value < cheap {
			best = max(best, dose)
		}
	}
	if best == 0 {
		return smallest
	}
	return best
}

// sizesOf counts the distinct N_S.
func sizesOf(effects []boundEffect) int {
	seen := map[float64]bool{}
	for _, e := range effects {
		seen[e.NS] = true
	}
	return len(seen)
}

// The fewest models and sizes on which question 5 is answered.
const (
	fewestBounded = 5
	fewestSizes   = 2
)

// boundMean averages paired changes, with a percentile interval over models.
func boundMean(effects []boundEffect) collapse.Estimate {
	var v []float64
	for _, e := range effects {
		v = append(v, e.paired())
	}
	return bootstrapped(v)
}

// textBoundsClaim judges the second half of question 5 of RULES.md.
func (e evidence) textBoundsClaim() (Claim, error) {
	c := Claim{ID: "text cause", Where: "v1 Fig. 4, v2 §4 (asked by reviewers)", Claim: "on real text, the heads whose states grow most carry the failure on newlines", Paper: "not tested", Figure: "22_bounds",
		Rule: "fixed before it ran: α bounded in the two heads of largest growth, and by as much of Σ log α in other heads of the same layers; change of the excess in the chosen heads less the mean over control sets, at the largest dose (0.3, 1, 3) that costs less than 0.05 nat on documents; interval by bootstrap over models, those that fail if they are at least five of two sizes, otherwise all; for the claim below 0 throughout, against it above 0"}
	all, err := boundEffects(e.root)
	if err != nil {
		return c.open(err)
	}
	dose := referenceDose(all)
	at := slices.DeleteFunc(slices.Clone(all), func(b boundEffect) bool { return b.Dose != dose })
	failing := slices.DeleteFunc(slices.Clone(at), func(b boundEffect) bool { return !b.Fails })
	var said []string
	for _, some := range []struct {
		name    string
		effects []boundEffect
	}{{"models that fail", failing}, {"models", at}} {
		if n := len(some.effects); n > 0 && !(len(said) > 0 && n == len(failing)) { // if all models fail, they are reported once
			m := boundMean(some.effects)
			var chosen, control []float64
			for _, b := range some.effects {
				chosen, control = append(chosen, b.Chosen), append(control, b.Control)
			}
			said = append(said, fmt.Sprintf("%d %s of %d sizes: %.2f nat in the chosen heads, %.2f in others, difference %.2f [%.2f, %.2f]", n, some.name, sizesOf(some.effects),
				meanOf(chosen).Value, meanOf(control).Value, m.Mean, m.Low, m.High))
		}
	}
	deciding, name := failing, "those that fail decide"
	if len(failing) < fewestBounded || sizesOf(failing) < fewestSizes {
		deciding, name = at, "all decide"
	}
	c.Ours = fmt.Sprintf("Σ log α over T lowered by %g, change of the excess: %s; %s", dose, strings.Join(said, "; "), name)
	if len(deciding) < fewestBounded || sizesOf(deciding) < fewestSizes {
		c.Verdict = NotTestable
		c.Ours += "; five models of two sizes are asked for"
		return c, nil
	}
	m := boundMean(deciding)
	c.Verdict = Verdict(decided(m.High < 0, m.Low > 0))
	return c, nil
}
