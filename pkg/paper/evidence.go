package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/fit"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// The studies that claims draw on.
const (
	ForgetPlan   = "forget"   // N × T at a fixed gap: which models fail beyond T
	CapacityPlan = "capacity" // N × T at a gap of half a window: how far back models recall
	RecallPlan   = "recall-table"
	LongPlan     = "over-training" // models of the recall table, trained for twice as long
	TextPlan     = "text"
)

// failFactor is the rule of arXiv 2410.07145: a loss beyond the window above twice that within.
const failFactor = 2

func (e evidence) last(plan string) (*table.Table, error) {
	t, err := study.Read(e.root, plan, "outcome")
	if err != nil {
		return nil, err
	}
	return Last(t)
}

func (e evidence) failsBeyond() (Claim, error) {
	c := Claim{ID: "fails beyond T", Where: "v2 Fig. 1, v1 Fig. 1", Claim: "loss rises far beyond the training length", Paper: "2.7 → > 5 nats by 3 T (780M)", Figure: "09_training_length"}
	t, err := e.last(LongPlan)
	if err != nil {
		return c, err
	}
	ratio, err := floats(t, "ratio", "policy", "zero", "train_length", 64)
	if err != nil || len(ratio) == 0 {
		return c, orMissing(err, "ratio at T 64")
	}
	failing := 0
	for _, r := range ratio {
		if !(r <= failFactor) {
			failing++
		}
	}
	c.Ours = fmt.Sprintf("far / inside %s at T 64; %d fail", ranged(ratio), failing)
	c.Verdict = verdict(failing == len(ratio), failing == 0)
	return c, nil
}

// judged are the learned models of the forget study and of the long one at the end of training. The recall table is left
// out: some of its models are those of the forget study.
func (e evidence) judged() (*table.Table, error) {
	all := table.New()
	for _, plan := range []string{ForgetPlan, LongPlan} {
		t, err := e.last(plan)
		if err != nil {
			return nil, err
		}
		if t, err = learned(t); err != nil {
			return nil, err
		}
		if t, err = Only(t, "fails", "strict", "explosion", "first"); err != nil {
			return nil, err
		}
		if err := all.Append(t); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (e evidence) explodes() (Claim, error) {
	c := Claim{ID: "explosion", Where: "v1 Fig. 4, v2 Fig. 5", Claim: "state explosion and degradation go together", Paper: "3 heads of 8 shown", Figure: "11_explosion"}
	t, err := e.judged()
	if err != nil {
		return c, err
	}
	failing, err := floats(t, "explosion", "fails", 1)
	if err != nil {
		return c, err
	}
	sound, err := floats(t, "explosion", "fails", 0)
	if err != nil || len(failing) == 0 || len(sound) == 0 {
		return c, orMissing(err, "models that fail and models that do not")
	}
	a, b := share(failing), share(sound)
	se := math.Sqrt(a*(1-a)/float64(len(failing)) + b*(1-b)/float64(len(sound)))
	c.Ours = fmt.Sprintf("explode: %.0f %% of %d failing models, %.0f %% of %d others; difference %.0f ± %.0f points", 100*a, len(failing), 100*b, len(sound), 100*(a-b), 196*se)
	c.Verdict = verdict(a > 0.9 && a-b > 1.96*se && b < 0.5, a-b <= 1.96*se)
	return c, nil
}

func (e evidence) order() (Claim, error) {
	c := Claim{ID: "explosion first", Where: "v1 §4 (asked by reviewers)", Claim: "the state explodes before the loss degrades", Paper: "not measured", Figure: "11_explosion"}
	t, err := e.judged()
	if err != nil {
		return c, err
	}
	if t, err = Where(t, "strict", 1); err != nil {
		return c, err
	}
	first, err := t.Text("first")
	if err != nil {
		return c, err
	}
	n := map[string]int{}
	for _, f := range first {
		n[f]++
	}
	c.Ours = fmt.Sprintf("of the models that degrade by the strict rule: state first %d, loss first %d, undecided %d", n["state"], n["loss"], n["undecided"])
	low, high, err := prompt.Wilson(n["state"], max(n["state"]+n["loss"], 1), 1.96)
	if err != nil {
		return c, err
	}
	c.Verdict = verdict(low > 0.5, high < 0.5)
	return c, nil
}

func (e evidence) retains() (Claim, error) {
	c := Claim{ID: "retention", Where: "v2 Fig. 3, v1 Fig. 7", Claim: "some heads keep nearly all of the first token at T", Paper: "> 0.997 (v2), > 0.8 (v1) at 8K", Figure: "11_retention"}
	t, err := study.Read(e.root, RecallPlan, "heads")
	if err != nil {
		return c, err
	}
	if t, err = Where(t, "train_length", 64); err != nil {
		return c, err
	}
	if t, err = Where(t, "policy", "zero"); err != nil {
		return c, err
	}
	top, err := topOf(t, "retention_window")
	if err != nil {
		return c, err
	}
	c.Ours = "top head after T = 64: " + ranged(top)
	_, low, high := spread(top)
	c.Verdict = verdict(low > 0.8, high < 0.8)
	return c, nil
}

// topOf is the largest value over the heads of each model.
func topOf(t *table.Table, column string) ([]float64, error) {
	key, err := joinedKeys(t, []string{"row", "replica"})
	if err != nil {
		return nil, err
	}
	v, err := t.Float(column)
	if err != nil {
		return nil, err
	}
	best, order := map[string]float64{}, []string(nil)
	for i, k := range key {
		if old, seen := best[k]; !seen {
			order, best[k] = append(order, k), v[i]
		} else {
			best[k] = max(old, v[i])
		}
	}
	var out []float64
	for _, k := range order {
		out = append(out, best[k])
	}
	return out, nil
}

func (e evidence) overTraining() (Claim, error) {
	c := Claim{ID: "over-training", Where: "v2 Fig. 8, v1 Fig. 8", Claim: "the ability beyond T is there first and lost with more training", Paper: "heat maps only", Figure: "10_over_training"}
	t, err := study.Read(e.root, LongPlan, "outcome")
	if err != nil {
		return c, err
	}
	rises, err := riseOverTraining(t)
	if err != nil {
		return c, err
	}
	if t, err = Where(t, "train_length", 64); err != nil {
		return c, err
	}
	tokens, err := t.Float("tokens")
	if err != nil {
		return c, err
	}
	c.Ours = fmt.Sprintf("far loss at the end / at its best: %s (T 64, zero, %.0fM tokens)", ranged(rises), slices.Max(tokens)/1e6)
	_, low, high := spread(rises)
	c.Verdict = verdict(low > 1.5, high < 1.5)
	return c, nil
}

// riseOverTraining is the far loss at the end over the smallest along training, of models with T 64 from zeros.
func riseOverTraining(t *table.Table) ([]float64, error) {
	t, err := Where(t, "train_length", 64)
	if err != nil {
		return nil, err
	}
	if t, err = Where(t, "policy", "zero"); err != nil {
		return nil, err
	}
	if t, err = Sorted(t, "tokens"); err != nil {
		return nil, err
	}
	key, err := joinedKeys(t, []string{"row", "replica"})
	if err != nil {
		return nil, err
	}
	far, err := t.Float("far")
	if err != nil {
		return nil, err
	}
	best, end, order := map[string]float64{}, map[string]float64{}, []string(nil)
	for i, k := range key {
		if _, seen := best[k]; !seen {
			order, best[k] = append(order, k), far[i]
		}
		best[k], end[k] = min(best[k], far[i]), far[i]
	}
	var out []float64
	for _, k := range order {
		out = append(out, end[k]/best[k])
	}
	return out, nil
}

func (e evidence) largerIsWorse() (Claim, error) {
	c := Claim{ID: "larger is worse", Where: "v2 Fig. 1", Claim: "at equal T, larger states fail more", Paper: "1.3B fails at 18K, 130M hardly", Figure: "09_matrix"}
	_, outcomes, left, err := ForgetPoints(e.root, ForgetPlan, "zero", "ratio")
	if err != nil {
		return c, err
	}
	d := fit.Monotone(outcomes).AlongN
	if d.Agree+d.Violate == 0 {
		return c, orMissing(nil, "models at equal T that fail beside ones that do not")
	}
	c.Ours = fmt.Sprintf("%d of %d models fail; pairs at equal T: %d as claimed, %d against, p = %.2g%s", failures(outcomes), len(outcomes), d.Agree, d.Violate, d.P, noted(left))
	c.Verdict = matrixVerdict(outcomes, d)
	return c, nil
}

func (e evidence) threshold() (Claim, error) {
	c := Claim{ID: "forget threshold", Where: "v2 §5, Fig. 10–11", Claim: "forgets if and only if T exceeds a threshold", Paper: "6 sizes, 1 seed", Figure: "09_matrix"}
	_, outcomes, left, err := ForgetPoints(e.root, ForgetPlan, "zero", "ratio")
	if err != nil {
		return c, err
	}
	d := fit.Monotone(outcomes).AlongT
	if d.Agree+d.Violate == 0 {
		return c, orMissing(nil, "models at equal N_S that fail beside ones that do not")
	}
	c.Ours = fmt.Sprintf("%d of %d models fail; pairs at equal N_S: %d as claimed, %d against, p = %.2g%s", failures(outcomes), len(outcomes), d.Agree, d.Violate, d.P, noted(left))
	window, err := e.gapIsWindow()
	if err != nil {
		return c, err
	}
	c.Ours += window
	c.Verdict = matrixVerdict(outcomes, d)
	return c, nil
}

// gapIsWindow sets beside the grid of a fixed gap the models whose gap is as long as the window at T 256: the same T, but
// nothing in the window is too old to be useful.
func (e evidence) gapIsWindow() (string, error) {
	var said [2]string
	for i, plan := range []string{ForgetPlan, CapacityPlan} {
		t, err := e.last(plan)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if t, err = learned(t); err != nil {
			return "", err
		}
		ratio, err := floats(t, "ratio", "policy", "zero", "train_length", 256)
		if err != nil {
			return "", err
		}
		if len(ratio) == 0 {
			return "", nil
		}
		said[i] = ranged(ratio)
	}
	return fmt.Sprintf("; far / inside at T 256 with a gap of 64 tokens %s, with one of 256 (study %s) %s", said[0], CapacityPlan, said[1]), nil
}

func (e evidence) forgetLaw() (Claim, error) {
	c := Claim{ID: "forget law", Where: "v2 Fig. 11, v1 Fig. 12", Claim: "the forget threshold is linear in N_S", Paper: "5.172·N_S − 4.469", Figure: "13_forget_law"}
	points, _, left, err := ForgetPoints(e.root, ForgetPlan, "zero", "ratio")
	if err != nil {
		return c, err
	}
	c = e.lawClaim(c, "forget", points)
	c.Ours += noted(left)
	return c, nil
}

func (e evidence) recallLaw() (Claim, error) {
	c := Claim{ID: "recall law", Where: "v2 Fig. 9, v1 Fig. 12", Claim: "recall reach is exponential in N_S", Paper: "4.756·(1.365^N_S − 1) − 0.742", Figure: "12_recall_law"}
	points, err := RecallPoints(e.root, CapacityPlan, "zero", 0.95)
	if err != nil {
		return c, err
	}
	return e.lawClaim(c, "recall", points), nil
}

// lawClaim compares the forms; thresholds that cannot be fitted are a finding, not an error.
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
	flat, falls := r.Form("constant"), false
	switch {
	case flat.AIC-best.AIC <= 2:
		c.Ours += fmt.Sprintf("; no growth with N_S shown: a constant %.3g K tokens [%.3g, %.3g] does as well (ΔAIC %.1f)",
			flat.Params["a"], flat.Intervals["a"][0], flat.Intervals["a"][1], flat.AIC-best.AIC)
	case want.Params["a"] < 0: // of both published forms
		c.Ours += "; it falls with N_S"
		falls = true
	}
	c.Verdict = verdict(r.Best == r.Expected && !falls && leads(r), falls || r.Best == flat.Name || want.AIC-best.AIC > 2)
	return c
}

// leads tells whether the best form is more than 2 in AIC ahead of every form that it is not a special case of.
func leads(r *fit.Result) bool {
	general := map[string][]string{"linear": {"quadratic", "exponential"}}[r.Best] // a line is a parabola, and an exponential of little bend
	for _, f := range r.Forms {
		if f.Name != r.Best && !slices.Contains(general, f.Name) && f.AIC-r.Form(r.Best).AIC <= 2 {
			return false
		}
	}
	return true
}

func (e evidence) longerCures() (Claim, error) {
	c := Claim{ID: "longer training", Where: "v2 Fig. 10, v1 method 4", Claim: "training on longer sequences cures it", Paper: "370M at 64K: flat to 126K", Figure: "09_training_length"}
	return e.cure(c, RecallPlan, "zero", 256)
}

// cure compares models that start from zeros at T 64 with those of another initial state or training length, of the same
// state sizes. Cured are they whose ratio of far to inside is at most the factor and whose far loss itself is lower: a model
// that is bad everywhere has a low ratio too.
func (e evidence) cure(c Claim, plan, policy string, length int) (Claim, error) {
	t, err := e.last(plan)
	if err != nil {
		return c, err
	}
	states, err := floats(t, "state", "policy", policy, "train_length", length)
	if err != nil {
		return c, err
	}
	if len(states) == 0 {
		return c, orMissing(nil, fmt.Sprintf("models of the study %s with states %s and T %d", plan, policy, length))
	}
	var both []any
	for _, n := range slices.Compact(slices.Sorted(slices.Values(states))) {
		both = append(both, n)
	}
	if t, err = Where(t, "state", both...); err != nil {
		return c, err
	}
	var with, without [2][]float64
	for i, column := range []string{"ratio", "far"} {
		if without[i], err = floats(t, column, "policy", "zero", "train_length", 64); err != nil {
			return c, err
		}
		if with[i], err = floats(t, column, "policy", policy, "train_length", length); err != nil {
			return c, err
		}
	}
	if len(with[0]) == 0 || len(without[0]) == 0 {
		return c, orMissing(nil, "both kinds of models")
	}
	c.Ours = fmt.Sprintf("far / inside %s, far loss %s; without: %s, %s", ranged(with[0]), ranged(with[1]), ranged(without[0]), ranged(without[1]))
	_, least, _ := spread(without[0])
	_, _, most := spread(with[0])
	far, _, _ := spread(with[1])
	farBefore, _, _ := spread(without[1])
	switch {
	case least <= failFactor:
		c.Verdict = NotTestable // not every model fails without it
	default:
		c.Verdict = verdict(most <= failFactor && far < farBefore, most > failFactor && far >= farBefore)
	}
	return c, nil
}

func (e evidence) shortPrice() (Claim, error) {
	c := Claim{ID: "price in short contexts", Where: "v2 Fig. 10", Claim: "the model trained longer is worse in short contexts", Paper: "0.08 nats at 1K (370M, 64K)", Figure: "09_training_length"}
	t, err := study.Read(e.root, RecallPlan, "loss")
	if err != nil {
		return c, err
	}
	if t, err = Last(t); err != nil {
		return c, err
	}
	early := func(length int) (v []float64, err error) {
		u, err := Where(t, "train_length", length)
		if err != nil {
			return nil, err
		}
		if u, err = Where(u, "policy", "zero"); err != nil {
			return nil, err
		}
		end, err := u.Float("end")
		if err != nil {
			return nil, err
		}
		u = u.Filter(func(i int) bool { return end[i] <= 64 })
		if u, err = OverSeeds(u, []string{"row", "replica"}, "loss"); err != nil {
			return nil, err
		}
		return u.Float("loss")
	}
	short, err := early(64)
	if err != nil {
		return c, err
	}
	long, err := early(256)
	if err != nil {
		return c, err
	}
	c.Ours = fmt.Sprintf("loss over the first 64 tokens, T 256: %s; T 64: %s", ranged(long), ranged(short))
	_, leastLong, mostLong := spread(long)
	_, leastShort, mostShort := spread(short)
	c.Verdict = verdict(leastLong > mostShort, mostLong < leastShort)
	return c, nil
}

func (e evidence) carryingCures() (Claim, error) {
	c := Claim{ID: "state passing", Where: "2507.02782; v2 trains with carried states", Claim: "starting from another sequence's state cures it without longer training", Paper: "2K → 128K (2507.02782)", Figure: "09_training_length"}
	return e.cure(c, LongPlan, "passed", 64)
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
	c.Ours = fmt.Sprintf("%.4f; as brackets without the artificial origin, best form %s", p.R2, p.Bracketed.Best)
	c.Verdict = verdict(p.R2 > p.ClaimedR2, p.R2 <= p.ClaimedR2)
	return c, nil
}

func (e evidence) sizes() (Claim, error) {
	c := Claim{ID: "state sizes", Where: "v2 Table 2", Claim: "scalars of state by model", Paper: "130M 4.8M, 370M 12.9M, 780M 19.3M"}
	for _, name := range []string{"130m", "370m", "780m"} {
		m, err := mamba2.Preset(name)
		if err != nil {
			return c, err
		}
		recurrent, whole := m.StateSize()
		c.Ours += fmt.Sprintf("%s %.3fM (recurrent alone %.3fM); ", name, float64(whole)/1e6, float64(recurrent)/1e6)
	}
	c.Ours = c.Ours[:len(c.Ours)-2]
	c.Verdict = Reproduced
	return c, nil
}

func (e evidence) text() (Claim, error) {
	c := Claim{ID: "text", Where: "v1 Fig. 1b, v2 Fig. 1", Claim: "models of ordinary text fail beyond T", Paper: "from 130M parameters on", Figure: "09_text"}
	t, err := e.last(TextPlan)
	if err != nil {
		return c, err
	}
	ratio, err := floats(t, "ratio", "policy", "zero")
	if err != nil || len(ratio) == 0 {
		return c, orMissing(err, "ratios")
	}
	strict, err := floats(t, "strict", "policy", "zero")
	if err != nil {
		return c, err
	}
	c.Ours = fmt.Sprintf("bytes, small models: far / inside %s; strict rule fires in %.0f %%", ranged(ratio), 100*share(strict))
	c.Verdict = verdict(slices.Min(ratio) > failFactor, slices.Max(ratio) <= failFactor && share(strict) < 0.5)
	return c, nil
}

func noted(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return "; " + strings.Join(warnings, "; ")
}

func verdict(yes, no bool) string {
	switch {
	case yes:
		return Reproduced
	case no:
		return Not
	}
	return Mixed
}

func orMissing(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errNothing, what)
}

// fewFailures is the number of failing models below which their order along an axis is an anecdote.
const fewFailures = 5

func failures(outcomes []fit.Outcome) (n int) {
	for _, o := range outcomes {
		if o.Fails {
			n++
		}
	}
	return n
}

func matrixVerdict(outcomes []fit.Outcome, d fit.Direction) string {
	if failures(outcomes) < fewFailures {
		return NotTestable
	}
	return verdict(d.P < 0.05 && d.Monotone, d.P >= 0.05)
}
