package paper

import (
	"fmt"
	"math"
	"strings"

	"stuffed/pkg/fit"
	"stuffed/pkg/lm"
)

func (e evidence) forgetLaw() (Claim, error) {
	c := Claim{ID: "forget law", Where: "v2 Fig. 11, v1 Fig. 12", Claim: "the forget threshold is linear in N_S", Paper: "5.172·N_S − 4.469", Figure: "13_forget_law",
		Rule: "not testable when at least four fifths of the brackets reach across the gap of the data, the length from which the window holds pairs too old to come back: they then locate the gap and no law of the state size; otherwise the line must be best of all forms, grow, and lead those that do not contain it by more than 2 in AIC; a constant within 2, a falling line, or another form ahead by more than 2 contradict it"}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return c, err
	}
	models = of(models, with("zero"))
	outcomes, _, _, err := Outcomes(models, "excess", limits)
	if err != nil {
		return c, err
	}
	points, warnings := fit.Brackets(outcomes)
	gap := float64(2*models[0].Gap) / kilo
	across, bracketed := 0, 0
	for _, p := range points {
		if math.IsInf(p.High, 1) {
			continue
		}
		bracketed++
		if p.Low <= gap && gap < p.High {
			across++
		}
	}
	c = e.lawClaim(c, "forget", points)
	if len(warnings) > 0 {
		c.Ours += fmt.Sprintf("; %d of %d runs pass at a length below one where they fail", len(warnings), len(points))
	}
	c.Ours += fmt.Sprintf("; %d of %d brackets reach across the gap of %g tokens", across, bracketed, gap*kilo)
	if bracketed > 0 && 5*across >= 4*bracketed {
		c.Verdict = NotTestable
	}
	return c, nil
}

func (e evidence) recallLaw() (Claim, error) {
	c := Claim{ID: "recall law", Where: "v2 Fig. 9, v1 Fig. 12", Claim: "recall reach is exponential in N_S", Paper: "4.756·(1.365^N_S − 1) − 0.742", Figure: "12_recall_law",
		Rule: "not testable when, over the range of N_S here, the published exponential stays within 5 % of a straight line, less than a bracket is wide; otherwise as for the forget law"}
	points, err := RecallPoints(e.root, CapacityPlan, "zero", 0.95)
	if err != nil {
		return c, err
	}
	c = e.lawClaim(c, "recall", points)
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		low, high = min(low, p.N), max(high, p.N)
	}
	bend := bendOf(low, high)
	c.Ours += fmt.Sprintf("; the age of a pair within the window, not the longest context of a passkey; over %.2g … %.2gM scalars the published exponential differs from a line by %.1g %% of its rise", low, high, 100*bend)
	if bend < 0.05 {
		c.Verdict = NotTestable
	}
	return c, nil
}

// bendOf is how far the published recall law departs from a straight line between two sizes, as a share of its rise.
func bendOf(low, high float64) float64 {
	law := func(n float64) float64 { return math.Pow(1.365, n) }
	most := 0.0
	for k := range 101 {
		x := low + (high-low)*float64(k)/100
		line := law(low) + (law(high)-law(low))*(x-low)/(high-low)
		most = max(most, math.Abs(law(x)-line))
	}
	return most / (law(high) - law(low))
}

// lawClaim compares the fitted forms; thresholds that cannot be fitted are a finding, not an error.
func (e evidence) lawClaim(c Claim, law string, points []fit.Point) Claim {
	r, err := fit.Fit(points, fit.Options{Law: law, Resamples: e.resamples, Seed: 1})
	if err != nil {
		c.Ours, c.Verdict = err.Error(), NotTestable
		return c
	}
	best, want := r.Form(r.Best), r.Form(r.Expected)
	c.Ours = fmt.Sprintf("best %s; %s ΔAIC %.1f, %d thresholds", r.Best, r.Expected, want.AIC-best.AIC, r.N)
	for _, k := range []string{"a", "b", "c"} {
		if v, has := want.Params[k]; has {
			c.Ours += fmt.Sprintf(", %s = %.3g [%.3g, %.3g]", k, v, want.Intervals[k][0], want.Intervals[k][1])
		}
	}
	flat := r.Form("constant")
	falls := want.Params["a"] < 0 // in both published forms
	level := flat.AIC-best.AIC <= 2
	switch {
	case level:
		c.Ours += fmt.Sprintf("; no growth with N_S shown: a constant %.3g K tokens [%.3g, %.3g] does as well (ΔAIC %.1f)",
			flat.Params["a"], flat.Intervals["a"][0], flat.Intervals["a"][1], flat.AIC-best.AIC)
	case falls:
		c.Ours += "; it falls with N_S"
	}
	c.Verdict = Verdict(decided(r.Best == r.Expected && !falls && !level && leads(r), falls || level || want.AIC-best.AIC > 2))
	return c
}

// leads reports whether the best form is more than 2 in AIC ahead of every form that it is not a special case of.
func leads(r *fit.Result) bool {
	general := map[string]bool{}
	if r.Best == "linear" { // a line is a special case of a parabola, and of an exponential in the limit
		general["quadratic"], general["exponential"] = true, true
	}
	for _, f := range r.Forms {
		if f.Name != r.Best && !general[f.Name] && f.AIC-r.Form(r.Best).AIC <= 2 {
			return false
		}
	}
	return true
}

func (e evidence) publishedForget() (Claim, error) {
	return e.published("forget", Claim{ID: "forget law, its R²", Where: "v2 Fig. 11", Claim: "R² of the published forget law on its own points", Paper: "> 0.999", Figure: "13_published_forget"})
}

func (e evidence) publishedRecall() (Claim, error) {
	return e.published("recall", Claim{ID: "recall law, its R²", Where: "v2 Fig. 9", Claim: "R² of the published recall law on its own points", Paper: "> 0.999", Figure: "13_published_recall"})
}

func (e evidence) published(law string, c Claim) (Claim, error) {
	p, err := fit.Evaluate(law, fit.Options{Resamples: e.resamples, Seed: 1})
	if err != nil {
		return c, err
	}
	c.Rule = "the published coefficients on the points read off the published figure, the artificial origin included: above the claimed value or not"
	c.Ours = fmt.Sprintf("%.4f; as brackets without the artificial origin, best form %s", p.R2, p.Bracketed.Best)
	c.Verdict = Verdict(decided(p.R2 > p.ClaimedR2, p.R2 <= p.ClaimedR2))
	return c, nil
}

// printed holds the state sizes of Table 2, in millions, by layers and width.
var printed = []struct {
	name          string
	layers, width int
	millions      float64
}{{"36.4M", 6, 512, 0.8}, {"47.0M", 12, 512, 1.6}, {"84.6M", 12, 768, 2.4}, {"130M", 24, 768, 4.8}, {"370M", 48, 1024, 12.9}, {"780M", 48, 1536, 19.3}}

// shape is the paper's architecture with some fields overridden.
func shape(fields string) (lm.Config, error) {
	a, err := lm.ArchitectureOf("")
	if err != nil {
		return nil, err
	}
	return lm.Override(a.Default(), fields)
}

func (e evidence) sizes() (Claim, error) {
	c := Claim{ID: "state sizes", Where: "v2 Table 2", Claim: "scalars of state by model", Paper: "0.8M … 19.3M",
		Rule: "all printed numbers, cut to one digit, are those of the recurrent and the convolution state together; the paper's text says that the latter is ignored, which none of them bears out"}
	var said []string
	alone, together := 0, 0
	for _, p := range printed {
		m, err := shape(fmt.Sprintf(`{"width": %d, "layers": %d, "vocab": 16, "state": 128}`, p.width, p.layers))
		if err != nil {
			return c, err
		}
		recurrent, whole := m.Sizes().Recurrent, m.Sizes().Carried
		cut := func(n int) float64 { return math.Floor(float64(n)/1e5) / 10 }
		if cut(recurrent) == p.millions {
			alone++
		}
		if cut(whole) == p.millions {
			together++
		}
		said = append(said, fmt.Sprintf("%s %.3fM (recurrent alone %.3fM)", p.name, float64(whole)/1e6, float64(recurrent)/1e6))
	}
	c.Ours = fmt.Sprintf("%d of %d printed numbers hold the convolution state, %d the recurrent state alone: %s", together, len(printed), alone, strings.Join(said, "; "))
	c.Verdict = Verdict(decided(together == len(printed), together < len(printed)))
	return c, nil
}
