package paper

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// paired holds the values of one run and those of the same models without it.
type paired struct{ with, without []float64 }

func (p paired) factors() (out []float64) {
	for i := range p.with {
		out = append(out, math.Log(p.with[i]/p.without[i]))
	}
	return out
}

func (p paired) differences() (out []float64) {
	for i := range p.with {
		out = append(out, p.with[i]-p.without[i])
	}
	return out
}

// methodsTable reads the table that stuffed mitigate writes to root/mitigations.
func methodsTable(root string) (*table.Table, error) {
	return table.Read(filepath.Join(root, "mitigations", "table.csv"))
}

// method reads a column under a method and without one, at a multiple of T, both in the order of the models.
func method(t *table.Table, name, column string, multiple float64) (p paired, err error) {
	if p.with, err = floats(t, column, "method", name, "multiple", multiple); err != nil {
		return p, err
	}
	if p.without, err = floats(t, column, "method", "none", "multiple", multiple); err != nil {
		return p, err
	}
	if len(p.with) == 0 || len(p.with) != len(p.without) {
		return p, orMissing(nil, "all models under "+name)
	}
	return p, nil
}

// suppressed asks whether the paper's three training-free methods lower the loss far beyond T, and what they cost at T, on the
// same models with and without.
func (e evidence) suppressed() (Claim, error) {
	c := Claim{ID: "mitigations", Where: "v1 Fig. 9, v2 Fig. 4", Claim: "training-free methods suppress the failure at a cost in short contexts", Paper: "m_α 0.9999, m_B 0.75 best", Figure: "08_paired",
		Rule: "loss at 64 T under a method over that of the same model as it is, mean logarithm with a 95 % interval over models; a method decides for the claim when the interval lies below 1, against it when it lies above; the cost, the difference at T, is one more side: for the claim when any method has its interval above 0, against it when all lie below 0.02 nat"}
	t, err := methodsTable(e.root)
	if err != nil {
		return c, err
	}
	multiples, err := t.Float("multiple")
	if err != nil || len(multiples) == 0 {
		return c, orMissing(err, "rows")
	}
	near, far := slices.Min(multiples), slices.Max(multiples)
	var sides []Side
	var said, plain []string
	models, priced, cheapAll := 0, 0, true
	for k, name := range []string{"rri", "state_norm", "window"} {
		after, err := method(t, name, "loss", far)
		if err != nil {
			return c, err
		}
		cost, err := method(t, name, "loss", near)
		if err != nil {
			return c, err
		}
		recall, err := method(t, name, "recall", far)
		if err != nil {
			return c, err
		}
		models = len(after.with)
		price := meanOf(cost.differences())
		if price.Low > 0 {
			priced++
		}
		cheapAll = cheapAll && price.High < 0.02
		factor := meanOf(after.factors())
		sides = append(sides, decided(factor.High < 0, factor.Low > 0))
		plain = append(plain, fmt.Sprintf("× %v", factor.exp()))
		said = append(said, fmt.Sprintf("method %d: loss × %v, recall %+.1f points, cost at T %v nat", k+1, factor.exp(), 100*meanOf(recall.differences()).Value, price))
	}
	c.Ours = fmt.Sprintf("at %g T, %d models, parameters chosen on other sequences; %s", far, models, strings.Join(said, "; "))
	if priced > 0 {
		sides = append(sides, For)
	} else if cheapAll {
		sides = append(sides, Against)
	}
	c.Verdict = Verdict(sides...)
	c.Plain = fmt.Sprintf("far loss of %[2]d models under methods 1 to 3: %[1]s", strings.Join(plain, ", "), models)
	return c, nil
}

// causal asks, by matched interventions, whether the most retentive heads cause the failure: α is lowered in models that fail and
// raised in models that hold, against other heads whose log α is changed by as much.
func (e evidence) causal() (Claim, error) {
	c := Claim{ID: "over-retention as cause", Where: "v2 §4 (asked by reviewers)", Claim: "the heads that retain most cause the failure", Paper: "not tested", Figure: "07_matched",
		Rule: "change of the excess loss when log α of the two most retentive heads is changed, less the mean change under other pairs of heads of the same layers whose log α is changed by as much, paired by model, at the strongest dose that costs less than 0.05 nat within the window on average; each direction (lowered in models that fail, raised in models that hold) of at least three models decides by its 95 % interval over models"}
	t, err := table.Read(filepath.Join(e.root, "interventions", "matched.csv"))
	if err != nil {
		return c, err
	}
	effects, err := matchedEffects(t)
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	for _, direction := range []string{"lower", "raise"} {
		e, found := reference(effects, direction)
		if !found {
			continue
		}
		d := meanOf(e.differences())
		chosen, control := meanOf(e.chosen), meanOf(e.control)
		switch {
		case len(e.chosen) < fewest: // reported, but gives no side
		case direction == "lower":
			sides = append(sides, decided(d.High < 0, d.Low > 0))
		default:
			sides = append(sides, decided(d.Low > 0, d.High < 0))
		}
		said = append(said, fmt.Sprintf("α %s, T·Δlog α %.2g, %d models: excess changes by %v nat in the chosen heads, %v in matched others, difference %v%s",
			directions[direction], e.shift, len(e.chosen), chosen, control, d, e.byKind()))
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	if e, found := reference(effects, "lower"); found {
		c.Plain = fmt.Sprintf("α lowered in two of them: excess %[2]v nat against other heads, %[1]d failing models", len(e.chosen), meanOf(e.differences()))
	}
	if e, found := reference(effects, "raise"); found {
		c.Plain += fmt.Sprintf("; raised: %[2]v, %[1]d that hold", len(e.chosen), meanOf(e.differences()))
	}
	return c, nil
}

// byKind gives the differences for models of the recall stream and of text separately, where there are both.
func (e effect) byKind() string {
	by := map[bool][]float64{}
	for i, d := range e.differences() {
		text := strings.HasPrefix(e.models[i], "text")
		by[text] = append(by[text], d)
	}
	if len(by) < 2 {
		return ""
	}
	what := map[string]string{"lower": "newlines", "raise": "documents"}[e.direction]
	return fmt.Sprintf(" (recall stream, %d models: %v; text, %s, %d: %v)", len(by[false]), meanOf(by[false]), what, len(by[true]), meanOf(by[true]))
}

// effect is what one shift in one direction does: changes of the excess loss by model, in the chosen heads and in the matched
// others.
type effect struct {
	direction       string
	shift           float64 // of log α over T tokens, per head
	models          []string
	chosen, control []float64 // nats
	cost            []float64 // change of the loss within the window, in the chosen heads
}

func (e effect) differences() (out []float64) {
	for i := range e.chosen {
		out = append(out, e.chosen[i]-e.control[i])
	}
	return out
}

// matchedEffects pairs the rows of intervene.Matched by model, averaging over control sets.
func matchedEffects(t *table.Table) ([]effect, error) {
	c, err := readOf(t, []string{"model", "direction", "set"}, []string{"shift", "inside", "excess"})
	if err != nil {
		return nil, err
	}
	type key struct {
		direction string
		shift     float64
	}
	type sums struct{ chosen, control, controls, cost float64 }
	base := map[[2]string][2]float64{}
	for i, set := range c.text["set"] {
		if set == "none" {
			base[[2]string{c.text["model"][i], c.text["direction"][i]}] = [2]float64{c.float["excess"][i], c.float["inside"][i]}
		}
	}
	by, order := map[key]map[string]*sums{}, []key(nil)
	models := map[key][]string{}
	for i, set := range c.text["set"] {
		if set == "none" {
			continue
		}
		k, model := key{c.text["direction"][i], c.float["shift"][i]}, c.text["model"][i]
		before, known := base[[2]string{model, k.direction}]
		if !known {
			return nil, fmt.Errorf("matched interventions: model %s has no row of set none in direction %s; run it again", model, k.direction)
		}
		if by[k] == nil {
			by[k], order = map[string]*sums{}, append(order, k)
		}
		s := by[k][model]
		if s == nil {
			s = &sums{}
			by[k][model], models[k] = s, append(models[k], model)
		}
		change := c.float["excess"][i] - before[0]
		if set == "chosen" {
			s.chosen, s.cost = change, c.float["inside"][i]-before[1]
		} else {
			s.control, s.controls = s.control+change, s.controls+1
		}
	}
	var out []effect
	for _, k := range order {
		e := effect{direction: k.direction, shift: k.shift}
		for _, m := range models[k] {
			if s := by[k][m]; s.controls > 0 {
				e.models, e.chosen, e.control = append(e.models, m), append(e.chosen, s.chosen), append(e.control, s.control/s.controls)
				e.cost = append(e.cost, s.cost)
			}
		}
		out = append(out, e)
	}
	return out, nil
}

const cheap = 0.05 // nats within the window

// reference returns the largest shift of a direction that is cheap within the window.
func reference(effects []effect, direction string) (best effect, found bool) {
	for _, e := range effects {
		if e.direction == direction && len(e.chosen) > 0 && meanOf(e.cost).Value < cheap && math.Abs(e.shift) > math.Abs(best.shift) {
			best, found = e, true
		}
	}
	return best, found
}
