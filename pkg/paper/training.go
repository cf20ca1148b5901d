package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// The moments between which over-training is judged, as shares of the run: after the ability has been learned and before the
// learning rate begins to decay, so that the amount of training is not confounded with annealing.
const (
	early = 0.2
	late  = 0.8
)

func (e evidence) overTraining() (Claim, error) {
	c := Claim{ID: "over-training", Where: "v2 Fig. 8, v1 Fig. 8", Claim: "the ability beyond T is there first and lost with more training", Paper: "heat maps only", Figure: "10_longer",
		Rule: fmt.Sprintf("far loss at %.0f %% of the run over that at %.0f %%, both at constant learning rate and fixed beforehand, T 64 from zeros, all studies with several moments; a state size of a study decides for the claim when the 95 %% interval of the mean factor over seeds lies above 1, against it when it lies below", 100*late, 100*early)}
	var sides []Side
	var said []string
	for _, plan := range []string{LongPlan, ForgetPlan} {
		if err := e.overTrained(plan, &c, &sides, &said); err != nil && !(plan == ForgetPlan && errors.Is(err, fs.ErrNotExist)) {
			return c, err
		}
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	c.Plain = "from a fifth to four fifths of a run the far loss changes by " + c.Plain
	return c, nil
}

// overTrained adds what a study's runs at T 64 show.
func (e evidence) overTrained(plan string, c *Claim, sides *[]Side, said *[]string) error {
	t, err := study.Read(e.root, plan, "outcome")
	if err != nil {
		return err
	}
	if t, err = Where(t, "train_length", 64); err != nil {
		return err
	}
	if t, err = Where(t, "policy", "zero"); err != nil {
		return err
	}
	runs, err := farAlong(t)
	if err != nil {
		return err
	}
	sizes, by := []int64{}, map[int64][]farRun{}
	for _, r := range runs {
		if by[r.state] == nil {
			sizes = append(sizes, r.state)
		}
		by[r.state] = append(by[r.state], r)
	}
	slices.Sort(sizes)
	for _, n := range sizes {
		if len(by[n][0].tokens) < 4 {
			continue // not measured during the run
		}
		var rise, anneal []float64
		for _, r := range by[n] {
			rise = append(rise, math.Log(r.at(late)/r.at(early)))
			anneal = append(anneal, math.Log(r.at(1)/r.at(late)))
		}
		m, millions := meanOf(rise), slices.Max(by[n][0].tokens)/1e6
		*sides = append(*sides, decided(m.Low > 0, m.High < 0))
		*said = append(*said, fmt.Sprintf("%.0fM tokens, N %d: × %v at constant rate, × %v during its decay", millions, n, m.exp(), meanOf(anneal).exp()))
		if plan == LongPlan {
			if c.Plain != "" {
				c.Plain += ", "
			}
			c.Plain += fmt.Sprintf("× %.2g at N %d", math.Exp(m.Value), n)
		}
	}
	return nil
}

// farRun is the far loss along one run.
type farRun struct {
	state  int64
	tokens []float64
	far    []float64
}

// at returns the far loss at the measurement nearest to a share of the run.
func (r farRun) at(share float64) float64 {
	best, total := 0, slices.Max(r.tokens)
	for i, t := range r.tokens {
		if math.Abs(t-share*total) < math.Abs(r.tokens[best]-share*total) {
			best = i
		}
	}
	return r.far[best]
}

func farAlong(t *table.Table) (out []farRun, err error) {
	key, err := joinedKeys(t, []string{"row", "replica"})
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, nil, []string{"state", "tokens", "far"})
	if err != nil {
		return nil, err
	}
	place := map[string]int{}
	for i, k := range key {
		p, known := place[k]
		if !known {
			p = len(out)
			place[k], out = p, append(out, farRun{state: int64(c.float["state"][i])})
		}
		out[p].tokens, out[p].far = append(out[p].tokens, c.float["tokens"][i]), append(out[p].far, c.float["far"][i])
	}
	return out, nil
}

// against compares two groups of models, for each state size by far loss and over all sizes by excess loss. A low excess alone is
// no cure: a model that is bad everywhere also has one.
func against(with, without []Model, pooled bool) (sides []Side, said []string) {
	var sizes []int
	for _, m := range with {
		if !slices.Contains(sizes, m.State) && count(without, sized(m.State)) > 0 {
			sizes = append(sizes, m.State)
		}
	}
	slices.Sort(sizes)
	var both []Model
	for _, n := range sizes {
		a, b := of(with, sized(n)), of(without, sized(n))
		both = append(append(both, a...), b...)
		factor := minus(values(a, logFar), values(b, logFar))
		sides = append(sides, decided(factor.High < 0, factor.Low > 0))
		said = append(said, fmt.Sprintf("N %d: far × %v, excess %.2g → %.2g, inside %.2g → %.2g nat", n, factor.exp(),
			meanOf(values(b, excess)).Value, meanOf(values(a, excess)).Value, meanOf(values(b, inside)).Value, meanOf(values(a, inside)).Value))
	}
	if pooled && len(sizes) > 1 {
		treated := func(m Model) float64 {
			if slices.ContainsFunc(with, func(o Model) bool { return o.String() == m.String() && o.Tokens == m.Tokens }) {
				return 1
			}
			return 0
		}
		rho, p := within(both, func(m Model) string { return fmt.Sprint(m.State) }, treated, excess)
		sides = append(sides, decided(rho < 0 && p < 0.05, rho > 0 && p < 0.05))
		said = append(said, fmt.Sprintf("excess over all sizes: rank correlation %.2f, p %.2g", rho, p))
	}
	return sides, said
}

func logFar(m Model) float64 { return math.Log(far(m)) }

const cureRule = "the far loss, mean logarithm with a 95 % interval over seeds (Welch), is one side for each state size, the excess loss over all sizes (permutation test within sizes, two-sided, below 0.05) another"

func (e evidence) longerCures() (Claim, error) {
	c := Claim{ID: "longer training", Where: "v2 Fig. 10, v1 method 4", Claim: "training on longer sequences cures it", Paper: "370M at 64K: flat to 126K", Figure: "09_cure",
		Rule: "T 256 against T 64 on the same stream with a gap of 64 tokens; " + cureRule}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return c, err
	}
	zero := of(models, with("zero"))
	sides, said := against(of(zero, at(256)), of(zero, at(64)), true)
	if len(sides) == 0 {
		return c, orMissing(nil, "models of equal N at T 64 and T 256")
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	yes := 0
	sizes := max(len(sides)-1, 1) // the last side is over all sizes
	for _, s := range sides[:sizes] {
		if s == For {
			yes++
		}
	}
	c.Plain = fmt.Sprintf("on one stream, T 256 instead of 64 lowers the far loss at %d of %d state sizes", yes, sizes)
	return c, nil
}

func (e evidence) shortPrice() (Claim, error) {
	c := Claim{ID: "price in short contexts", Where: "v2 Fig. 10", Claim: "the model trained longer is worse in short contexts", Paper: "0.08 nats at 1K (370M, 64K)", Figure: "09_price",
		Rule: "loss over the first 64 tokens of models with T 256 less that with T 64, for each state size with its 95 % interval over seeds (Welch)"}
	prices, err := shortLosses(e.root)
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	for _, n := range prices.sizes {
		d := minus(prices.at[n][256], prices.at[n][64])
		sides = append(sides, decided(d.Low > 0, d.High < 0))
		said = append(said, fmt.Sprintf("N %d %v", n, d))
	}
	if len(sides) == 0 {
		return c, orMissing(nil, "models of equal N at T 64 and T 256")
	}
	c.Ours = "difference in nat: " + strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	return c, nil
}

type shortLoss struct {
	sizes []int
	at    map[int]map[int][]float64 // N → T → losses of the models over the first 64 tokens
}

func shortLosses(root string) (s shortLoss, err error) {
	t, err := chosen(root, ForgetPlan, "loss", "policy", "zero", "heads", 8)
	if err != nil {
		return s, err
	}
	end, err := t.Float("end")
	if err != nil {
		return s, err
	}
	t = t.Filter(func(i int) bool { return end[i] <= 64 })
	if t, err = OverSeeds(t, []string{"row", "replica", "state", "train_length"}, "loss"); err != nil {
		return s, err
	}
	c, err := readOf(t, nil, []string{"state", "train_length", "loss"})
	if err != nil {
		return s, err
	}
	s.at = map[int]map[int][]float64{}
	for i, v := range c.float["loss"] {
		n, length := int(c.float["state"][i]), int(c.float["train_length"][i])
		if s.at[n] == nil {
			s.at[n] = map[int][]float64{}
		}
		s.at[n][length] = append(s.at[n][length], v)
	}
	for n, by := range s.at {
		if len(by[64]) > 0 && len(by[256]) > 0 {
			s.sizes = append(s.sizes, n)
		}
	}
	slices.Sort(s.sizes)
	return s, nil
}

func (e evidence) passing() (Claim, error) {
	c := Claim{ID: "state passing", Where: "2507.02782", Claim: "starting from another sequence's state cures it without longer training", Paper: "2K → 128K (2507.02782)", Figure: "09_cure",
		Rule: "passed against zero states at T 64, equal tokens; the far loss, mean logarithm with a 95 % interval over seeds (Welch), is one side for each state size and budget; the excess is no measure here, for a sequence that starts from zeros is not what these models were trained on"}
	models, err := e.needs(LongPlan)
	if err != nil {
		return c, err
	}
	sides, said := against(of(models, with("passed"), at(64)), of(models, with("zero"), at(64)), false)
	for i := range said {
		said[i] = "300M tokens, " + said[i]
	}
	short := of(e.all, at(64), func(m Model) bool { return (m.Plan == RecallPlan || m.Plan == ForgetPlan) && m.Heads == 8 })
	more, text := against(of(short, with("passed")), of(short, with("zero")), false)
	for i := range text {
		text[i] = "150M tokens, " + text[i]
	}
	sides, said = append(sides, more...), append(said, text...)
	if len(sides) == 0 {
		return c, orMissing(nil, "models with passed states beside ones from zeros")
	}
	c.Ours = strings.Join(said, "; ") + e.leftOut(with("passed"), at(64))
	c.Verdict = Verdict(sides...)
	return c, nil
}

func (e evidence) carrying() (Claim, error) {
	c := Claim{ID: "carried states", Where: "v2 trains with carried states", Claim: "carrying states through a stream cures it without longer windows", Paper: "used, not compared", Figure: "09_cure",
		Rule: "carried against zero states at T 64, gap 64; " + cureRule}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return c, err
	}
	sides, said := against(of(models, with("carried"), at(64)), of(models, with("zero"), at(64)), true)
	if len(sides) == 0 {
		return c, orMissing(nil, "models with carried states beside ones from zeros")
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	return c, nil
}
