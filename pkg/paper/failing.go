package paper

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/fit"
	"stuffed/pkg/study"
)

const fewest = 3 // with fewer models a setting decides nothing

// failsBeyond judges every condition, a stream and a training length, separately.
func (e evidence) failsBeyond() (Claim, error) {
	c := Claim{ID: "fails beyond T", Where: "v2 Fig. 1, v1 Fig. 1", Claim: "loss rises far beyond the training length", Paper: "2.7 → > 5 nats by 3 T (780M)", Figure: "09_excess",
		Rule: fmt.Sprintf("a model fails when its mean loss over the last half of the sequence lies %g nat above that over ½T … T and the 95 %% interval of the difference above 0; a condition (stream and T) decides for the claim when at least four fifths of its models fail, against it when at most one fifth do", limits.Excess)}
	models, err := e.fromZeros()
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	names, by := groups(models, Model.condition)
	for _, name := range names {
		some := by[name]
		if len(some) < fewest {
			continue
		}
		failing := count(some, Model.failing)
		share := float64(failing) / float64(len(some))
		sides = append(sides, decided(share >= 0.8, share <= 0.2))
		said = append(said, fmt.Sprintf("%s: %d of %d fail, excess %s nat", name, failing, len(some), ranged(values(some, excess))))
	}
	c.Ours = strings.Join(said, "; ") + e.trainedTwice()
	c.Verdict = Verdict(sides...)
	all, none := 0, 0
	for _, s := range sides {
		switch s {
		case For:
			all++
		case Against:
			none++
		}
	}
	c.Plain = fmt.Sprintf("%d of %d models lose at least %g nat: nearly all in %d of %d settings, hardly any in %d", count(models, Model.failing), len(models), limits.Excess, all, len(sides), none)
	return c, nil
}

// trainedTwice says how many repeated trainings, which are not counted, gave the same answer as the first.
func (e evidence) trainedTwice() string {
	if len(e.twice) == 0 {
		return ""
	}
	same := 0
	for _, pair := range e.twice {
		if pair[0].failing() == pair[1].failing() {
			same++
		}
	}
	return fmt.Sprintf("; %d of these models were trained a second time from the same seeds (not counted): %d get the verdict of the first", len(e.twice), same)
}

// paperRule applies the paper's rule to the paper's quantity.
func (e evidence) paperRule() (Claim, error) {
	c := Claim{ID: "the paper's rule", Where: "v2 §3", Claim: "a model that has not learned to forget doubles its loss over all tokens somewhere beyond T", Paper: "factor 2 on the mean loss of 128 prompts", Figure: "09_all_tokens",
		Rule: "mean loss of all tokens, largest bucket beyond T over the largest within, above 2, for the models that fail by excess loss: for the claim when all of them show it, against it when none does; not testable on a stream where even a model that knows nothing (all tokens equally likely) would not double its loss"}
	models, err := e.fromZeros()
	if err != nil {
		return c, err
	}
	var said []string
	var sides []Side
	names, by := groups(models, func(m Model) string { return m.Plan })
	for _, plan := range names {
		some := by[plan]
		vocab, err := vocabulary(plan)
		if err != nil {
			return c, err
		}
		ceiling := math.Inf(-1)
		for _, m := range some {
			ceiling = max(ceiling, math.Log(float64(vocab))/m.AllWithin)
		}
		fired := count(some, func(m Model) bool { return m.AllRatio > limits.Factor })
		failing := of(some, Model.failing)
		both := count(failing, func(m Model) bool { return m.AllRatio > limits.Factor })
		said = append(said, fmt.Sprintf("%s: %d of %d models, %d of the %d that fail by excess loss, largest ratio %.3g, that of knowing nothing %.3g",
			plan, fired, len(some), both, len(failing), slices.Max(values(some, func(m Model) float64 { return m.AllRatio })), ceiling))
		if ceiling > limits.Factor && len(failing) > 0 {
			sides = append(sides, decided(both == len(failing), both == 0))
		}
	}
	c.Ours = strings.Join(said, "; ")
	if c.Verdict = Verdict(sides...); len(sides) == 0 {
		c.Verdict = NotTestable
	}
	return c, nil
}

// vocabulary returns the vocabulary size of the models of a shipped plan.
func vocabulary(plan string) (int, error) {
	p, err := study.ReadPlan(plan)
	if err != nil {
		return 0, err
	}
	rows, err := p.Rows()
	if err != nil {
		return 0, err
	}
	return rows[0].Config.Train.Model.Sizes().Vocab, nil
}

func (e evidence) largerIsWorse() (Claim, error) {
	c := Claim{ID: "larger is worse", Where: "v2 Fig. 1", Claim: "at equal T, larger states fail more", Paper: "1.3B fails at 18K, 130M hardly", Figure: "09_excess",
		Rule: "three sides: the rank correlation of the excess loss with N_S within the streams and T where most models fail, and pairs of models at equal T by the rule of the excess loss, and by the ratio where a ratio can be formed, one failing and one not; each decides when its exact or permutation p-value, two-sided, is below 0.05"}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return c, err
	}
	models = of(models, with("zero"))
	failingPlaces := of(e.all, with("zero"), func(m Model) bool {
		there := of(e.all, with("zero"), func(o Model) bool { return o.condition() == m.condition() })
		return m.Plan != TextPlan && 2*count(there, Model.failing) > len(there)
	})
	rho, p := within(failingPlaces, Model.condition, func(m Model) float64 { return m.NS }, excess)
	sides := []Side{decided(rho > 0 && p < 0.05, rho < 0 && p < 0.05)}
	said := []string{fmt.Sprintf("where most models fail, rank correlation of excess loss with N_S at equal T %.2f (p %.2g, %d models)", rho, p, len(failingPlaces))}
	for _, rule := range []string{"excess", "ratio"} {
		outcomes, _, unjudged, err := Outcomes(models, rule, limits)
		if err != nil {
			return c, err
		}
		d := fit.Monotone(outcomes).AlongN
		sides = append(sides, direction(d))
		text := fmt.Sprintf("by %s, %d of %d fail, pairs at equal T %d as claimed, %d against, two-sided p %.2g", rule, failures(outcomes), len(outcomes), d.Agree, d.Violate, d.TwoSided)
		if unjudged > 0 {
			text += fmt.Sprintf(" (%d models have too low a loss within for a ratio)", unjudged)
		}
		said = append(said, text)
	}
	byN := map[int]string{}
	var sizes []int
	for _, m := range of(models, at(64)) {
		if _, known := byN[m.State]; !known {
			sizes = append(sizes, m.State)
		}
		byN[m.State] = fmt.Sprintf("%.2g", meanOf(values(of(models, at(64), sized(m.State), alike(m)), excess)).Value)
	}
	slices.Sort(sizes)
	var means []string
	for _, n := range sizes {
		means = append(means, fmt.Sprintf("N %d %s", n, byN[n]))
	}
	said = append(said, "mean excess at T 64: "+strings.Join(means, ", ")+" nat")
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	if len(sizes) > 0 {
		small, large := sizes[0], sizes[len(sizes)-1]
		c.Plain = fmt.Sprintf("mean excess loss %s nat at N %d, %s at N %d (T 64)", byN[small], small, byN[large], large)
	}
	if sides[0] == Against {
		c.Plain = "the other way round: " + c.Plain
	}
	return c, nil
}

// alike selects models with m's heads, training budget and initial-state policy.
func alike(m Model) func(Model) bool {
	return func(o Model) bool {
		return o.Heads == m.Heads && o.Tokens/10e6 == m.Tokens/10e6 && o.Policy == m.Policy
	}
}

// direction turns concordant and discordant pairs into a side.
func direction(d fit.Direction) Side {
	if d.TwoSided >= 0.05 {
		return Open
	}
	return decided(d.Agree > d.Violate, d.Agree < d.Violate)
}

func (e evidence) threshold() (Claim, error) {
	c := Claim{ID: "forget threshold", Where: "v2 §5, Fig. 10–11", Claim: "forgets if and only if T exceeds a threshold that the state size sets", Paper: "6 sizes, 1 seed", Figure: "09_excess",
		Rule: "two sides: pairs at equal N along T by the excess loss (exact two-sided p below 0.05); and at equal T 256 the share that fails with a gap of 64 tokens against that with a gap of 256: if the state size set the threshold they would agree (Fisher's exact two-sided p below 0.05 speaks against)"}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return c, err
	}
	models = of(models, with("zero"))
	var said []string
	var sides []Side
	for i, rule := range []string{"excess", "recall", "strict", "paper"} {
		outcomes, _, _, err := Outcomes(models, rule, limits)
		if err != nil {
			return c, err
		}
		d := fit.Monotone(outcomes).AlongT
		if i == 0 {
			sides = append(sides, direction(d))
		}
		said = append(said, fmt.Sprintf("by %s %d of %d fail, pairs at equal N %d as claimed, %d against, p %.2g", rule, failures(outcomes), len(outcomes), d.Agree, d.Violate, d.TwoSided))
	}
	short, long := of(models, at(256)), of(e.all, in(CapacityPlan), with("zero"), at(256))
	if len(short) > 0 && len(long) > 0 {
		var pairs []pair
		for _, m := range append(slices.Clone(short), long...) {
			pairs = append(pairs, pair{"", m.Plan == CapacityPlan, m.failing()})
		}
		both, _, p := coincide(pairs)
		sides = append(sides, decided(p >= 0.05 && len(pairs) >= 20, p < 0.05))
		said = append(said, fmt.Sprintf("at T 256, %d of %d fail with a gap of 64 tokens, %.0f of %d with one of 256 (p %.2g; other width and budget)", count(short, Model.failing), len(short), both, len(long), p))
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	c.Plain = map[Side]string{For: "on one stream models fail below some T only", Against: "on one stream longer training makes models fail", Open: "no threshold is seen on one stream"}[sides[0]]
	if len(sides) > 1 && sides[1] == Against {
		c.Plain += fmt.Sprintf("; but at T 256 %d of %d fail where pairs return within 64 tokens, %d of %d where within 256", count(short, Model.failing), len(short), count(long, Model.failing), len(long))
	}
	return c, nil
}

func failures(outcomes []fit.Outcome) (n int) {
	for _, o := range outcomes {
		if o.Fails {
			n++
		}
	}
	return n
}

// documents judges the null case: ordinary text.
func (e evidence) documents() (Claim, error) {
	c := Claim{ID: "text", Where: "v1 Fig. 1b, v2 Fig. 1", Claim: "models of ordinary text fail beyond T on documents", Paper: "from 130M parameters on", Figure: "09_text",
		Rule: "a model fails by excess loss or by the paper's rule; not testable when none does and N_S lies below 0.864M, where the published law gives no threshold at all"}
	models, err := e.needs(TextPlan)
	if err != nil {
		return c, err
	}
	failing := count(models, func(m Model) bool { return m.failing() || m.AllRatio > limits.Factor })
	largest := slices.Max(values(models, func(m Model) float64 { return m.NS }))
	c.Ours = fmt.Sprintf("bytes, N_S %.2gM: %d of %d fail; excess %s nat", largest, failing, len(models), ranged(values(models, excess)))
	switch {
	case failing == 0 && largest < 0.864:
		c.Ours += "; the published law is negative at this size, so that no failure is what it predicts"
		c.Verdict = NotTestable
	default:
		c.Verdict = Verdict(decided(failing == len(models), failing == 0))
	}
	return c, nil
}

// Thresholds asks in which direction failures of a study run under other limits: per rule and limit the number of failing models
// and of models, and along both axes the pairs for and against with the two-sided p-value.
func Thresholds(models []Model, grid map[string][]float64) (rows []Threshold, err error) {
	rules := make([]string, 0, len(grid))
	for rule := range grid {
		rules = append(rules, rule)
	}
	slices.Sort(rules)
	for _, rule := range rules {
		for _, limit := range grid[rule] {
			l := limits
			switch rule {
			case "excess":
				l.Excess = limit
			case "recall":
				l.Lost = limit
			case "ratio", "paper":
				l.Factor = limit
			}
			outcomes, _, unjudged, err := Outcomes(models, rule, l)
			if err != nil {
				return nil, err
			}
			m := fit.Monotone(outcomes)
			rows = append(rows, Threshold{rule, limit, failures(outcomes), len(outcomes), unjudged, m})
		}
	}
	return rows, nil
}

// Threshold is what a rule with one limit says about a grid of models.
type Threshold struct {
	Rule                      string
	Limit                     float64
	Failing, Judged, Unjudged int
	fit.Monotonicity
}

// DefaultThresholds covers the limits that reviewers asked for.
func DefaultThresholds() map[string][]float64 {
	return map[string][]float64{"excess": {0.02, 0.05, 0.1, 0.2, 0.5}, "recall": {1, 2, 5, 10}, "ratio": {1.1, 1.25, 1.5, 2, 3, 4}, "paper": {1.05, 1.1, 1.5, 2}}
}
