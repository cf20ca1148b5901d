package paper

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
	"stuffed/pkg/figure"
	"stuffed/pkg/fit"
	"stuffed/pkg/interval"
	"stuffed/pkg/study"
)

// TextLawPlan is the study of models of real text on several prompts; datasets/study/text-law/RULES.md gives the rules of
// judgement.
const TextLawPlan = "text-law"

// TextPrompts lists the study's kinds of prompt in the order in which they are shown.
var TextPrompts = []string{"newlines", "constant:32", "constant:95", "constant:112", "constant:54", "repeated", "shuffled", "documents"}

// farFrom is the first position that counts as far; sequences are twice as long.
const farFrom = 32768

// TextModel is one model of the study at the end of its training, on one kind of prompt.
type TextModel struct {
	Row, Kind             string
	Policy, Group         string
	Member                int
	Seed, State, Heads, T int
	NS                    float64 // millions of scalars
	collapse.Failure              // Excess is paired by sequence, with a percentile bootstrap over sequences
	Bare                  float64 // excess of the first sequence in nats, the only one that begins with no other text
	Ratio                 float64 // the paper's quantity: largest bucket beyond T over the largest within
	All                   []HeadGrowth
}

// Fails applies the study's rule: an excess of at least 0.1 nat whose interval lies above 0.
func (m TextModel) Fails() bool { return limits.ByExcess(m.Failure) == collapse.Yes }

// Holds reports whether the interval of the excess lies below 0.1 nat.
func (m TextModel) Holds() bool { return m.Excess.High < limits.Excess }

func (m TextModel) explodes() bool {
	return slices.ContainsFunc(m.All, HeadGrowth.Explodes)
}

// growth is that of the fastest-growing head; NaN without heads.
func (m TextModel) growth() float64 {
	if len(m.All) == 0 {
		return math.NaN()
	}
	return slices.MaxFunc(m.All, func(a, b HeadGrowth) int { return cmp.Compare(a.Growth, b.Growth) }).Growth
}

// TextModels returns the models of the grid of text-law: zero states, equal heads, equal training.
func TextModels(root string) ([]TextModel, error) {
	all, err := textModels(root)
	return slices.DeleteFunc(all, func(m TextModel) bool { return !m.grid() }), err
}

// textModels returns all models of text-law.
func textModels(root string) ([]TextModel, error) { return promptedModels(root, TextLawPlan) }

// promptedModels returns all models of a plan that is judged on prompts. A kind of prompt that was not traced has no heads.
func promptedModels(root, plan string) ([]TextModel, error) {
	t, err := study.Read(root, plan, "prompt_loss")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row", "kind", "policy", "group"}, []string{"replica", "seed", "state", "heads", "n_s", "train_length", "sequence", "position", "end", "loss"})
	if err != nil {
		return nil, err
	}
	type name struct {
		row, kind string
		member    int
	}
	type sums struct{ inside, far, insideN, farN float64 }
	var out []*TextModel
	at, bySequence, peaks := map[name]*TextModel{}, map[name][]sums{}, map[name][2]float64{}
	for i, row := range c.text["row"] {
		f := func(column string) float64 { return c.float[column][i] }
		k := name{row, c.text["kind"][i], int(f("replica"))}
		if at[k] == nil {
			at[k] = &TextModel{Row: row, Kind: k.kind, Policy: c.text["policy"][i], Group: c.text["group"][i], Member: k.member, Seed: int(f("seed")), State: int(f("state")),
				Heads: int(f("heads")), T: int(f("train_length")), NS: f("n_s")}
			out = append(out, at[k])
		}
		s, q := bySequence[k], int(f("sequence"))
		for len(s) <= q {
			s = append(s, sums{})
		}
		T, middle, tokens := f("train_length"), (f("position")+f("end"))/2, f("end")-f("position")
		switch {
		case middle >= T/2 && middle < T:
			s[q].inside, s[q].insideN = s[q].inside+tokens*f("loss"), s[q].insideN+tokens
		case middle >= farFrom:
			s[q].far, s[q].farN = s[q].far+tokens*f("loss"), s[q].farN+tokens
		}
		bySequence[k] = s
		p := peaks[k]
		if middle < T {
			p[0] = max(p[0], f("loss"))
		} else {
			p[1] = max(p[1], f("loss"))
		}
		peaks[k] = p
	}
	grown, err := textHeads(root, plan)
	if err != nil {
		return nil, err
	}
	models := make([]TextModel, 0, len(out))
	for _, m := range out {
		k := name{m.Row, m.Kind, m.Member}
		var inside, far, excess []float64
		for _, s := range bySequence[k] {
			inside, far = append(inside, s.inside/s.insideN), append(far, s.far/s.farN)
			excess = append(excess, far[len(far)-1]-inside[len(inside)-1])
		}
		m.Inside, m.Far, m.Excess, m.Bare = bootstrapped(inside), bootstrapped(far), bootstrapped(excess), excess[0]
		m.Ratio = peaks[k][1] / peaks[k][0]
		for _, h := range grown[textKey{m.Row, m.Kind, m.Member}] {
			h.Incoherent, h.Coherent = collapse.Filling(h.Retained, float64(min(64*m.T, 2*farFrom))/float64(m.T))
			m.All = append(m.All, h)
		}
		models = append(models, *m)
	}
	slices.SortStableFunc(models, func(a, b TextModel) int {
		return cmp.Or(cmp.Compare(slices.Index(TextPrompts, a.Kind), slices.Index(TextPrompts, b.Kind)), cmp.Compare(a.State, b.State), cmp.Compare(a.T, b.T), cmp.Compare(a.Seed, b.Seed))
	})
	return models, nil
}

// grid reports whether a model belongs to the grid, with equal heads, budget and zero states, not to a sub-grid.
func (m TextModel) grid() bool {
	return m.Policy == "zero" && slices.ContainsFunc(strings.Fields(m.Group), func(g string) bool { return g == "grid" || g == "pilot" || g == "pilot-fail" })
}

func (m TextModel) in(group string) bool { return slices.Contains(strings.Fields(m.Group), group) }

// textMissing names the rows of text-law in the given groups (all if there are none) that have not run: empty if all have,
// otherwise a clause.
func textMissing(models []TextModel, groups ...string) (string, error) {
	return missingOf(TextLawPlan, models, groups...)
}

func missingOf(plan string, models []TextModel, groups ...string) (string, error) {
	p, err := study.ReadPlan(plan)
	if err != nil {
		return "", err
	}
	rows, err := p.Rows()
	if err != nil {
		return "", err
	}
	var names []string
	for _, r := range rows {
		wanted := len(groups) == 0 || slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(groups, g) })
		if wanted && !slices.ContainsFunc(models, func(m TextModel) bool { return m.Row == r.Hash }) {
			names = append(names, textRow(r))
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return "; missing: " + strings.Join(names, ", "), nil
}

// notRun is the error for a claim or figure none of whose rows has run.
func notRun(models []TextModel, groups ...string) error {
	missing, err := textMissing(models, groups...)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: none of its rows has run%s", errNothing, strings.Replace(missing, "; missing", "", 1))
}

// Unseen reports whether an error means that a study does not show, or not yet, what was asked for.
func Unseen(err error) bool { return errors.Is(err, errNothing) }

// textRow names a row of the study by what distinguishes it.
func textRow(r study.Row) string {
	t := r.Config.Train
	sizes := t.Model.Sizes()
	name := fmt.Sprintf("N %d T %s", sizes.State, figure.Length(float64(t.TrainLength)))
	switch group := r.Groups[0]; group {
	case "heads":
		name += fmt.Sprintf(" %d heads", sizes.Heads)
	case "carried", "passed":
		name += " " + group
	case "bridge":
		name += fmt.Sprintf(" width %d", sizes.Width)
	case "longer":
		name += fmt.Sprintf(" %.0fM tokens", float64(t.Steps)*float64(t.BatchTokens)/1e6)
	}
	return name
}

type textKey struct {
	row, kind string
	member    int
}

func textHeads(root, plan string) (map[textKey][]HeadGrowth, error) {
	t, err := study.Read(root, plan, "prompt_heads")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row", "kind"}, headColumns)
	if err != nil {
		return nil, err
	}
	out := map[textKey][]HeadGrowth{}
	for i, row := range c.text["row"] {
		k := textKey{row, c.text["kind"][i], int(c.float["replica"][i])}
		out[k] = append(out[k], c.head(i))
	}
	return out, nil
}

const resamples = 2000

// bootstrapped returns a mean with its percentile interval over the values.
func bootstrapped(v []float64) collapse.Estimate {
	random := rand.New(rand.NewPCG(1, 0x7e87))
	mean := func(pick func(i int) float64) (sum float64) {
		for i := range v {
			sum += pick(i) / float64(len(v))
		}
		return sum
	}
	means := make([]float64, resamples)
	for r := range means {
		means[r] = mean(func(int) float64 { return v[random.IntN(len(v))] })
	}
	low, high := interval.Percentiles(means)
	return collapse.Estimate{Mean: mean(func(i int) float64 { return v[i] }), Low: low, High: high, Values: int64(len(v))}
}

// ofKind returns the models on one kind of prompt.
func ofKind(models []TextModel, kind string) (out []TextModel) {
	for _, m := range models {
		if m.Kind == kind {
			out = append(out, m)
		}
	}
	return out
}

func failingText(models []TextModel) (n int) {
	for _, m := range models {
		if m.Fails() {
			n++
		}
	}
	return n
}

// TextPoints brackets T_forget on one kind of prompt, one bracket per N and seed.
func TextPoints(models []TextModel, kind string) (points []fit.Point, warnings []string) {
	var outcomes []fit.Outcome
	for _, m := range ofKind(models, kind) {
		outcomes = append(outcomes, fit.Outcome{N: m.NS, T: float64(m.T) / kilo, Run: fmt.Sprint("seed ", m.Seed), Fails: m.Fails()})
	}
	return fit.Brackets(outcomes)
}
