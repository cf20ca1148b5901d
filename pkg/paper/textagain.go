package paper

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
)

// Retrained is a model of text-law next to the model trained again from the same row.
type Retrained struct {
	Row              string
	N, T, Seed       int
	Before, After    string     // verdict on newlines: fails, holds or undecided
	Excess           [2]float64 // nats, on newlines
	Inside, Far      [2]float64 // nats, on documents
	Noise, NoiseFar  float64    // nats: largest difference between two seeds of the original row
	Newlines, Within bool       // same verdict; losses on documents both within the noise
}

// judged returns the study's verdict on a model.
func (m TextModel) judged() string {
	switch {
	case m.Fails():
		return "fails"
	case m.Holds():
		return "holds"
	}
	return undecidedText
}

// undecidedText marks a model that neither fails nor holds.
const undecidedText = "undecided"

// Again compares the rows of text-law that both roots have, seed by seed.
func Again(root, with string) (out []Retrained, err error) {
	before, err := textModels(root)
	if err != nil {
		return nil, err
	}
	after, err := textModels(with)
	if err != nil {
		return nil, err
	}
	find := func(models []TextModel, kind string, m TextModel) (found TextModel, has bool) {
		i := slices.IndexFunc(models, func(o TextModel) bool { return o.Kind == kind && o.Row == m.Row && o.Member == m.Member })
		if i < 0 {
			return found, false
		}
		return models[i], true
	}
	for _, m := range before {
		again, has := find(after, m.Kind, m)
		if m.Kind != "newlines" || !has {
			continue
		}
		was, hadWas := find(before, "documents", m)
		is, hasIs := find(after, "documents", m)
		if !hadWas || !hasIs {
			return nil, fmt.Errorf("row %s seed %d: no documents among its prompts", m.Row, m.Seed)
		}
		r := Retrained{Row: m.Row, N: m.State, T: m.T, Seed: m.Seed, Before: m.judged(), After: again.judged(), Excess: [2]float64{m.Excess.Mean, again.Excess.Mean},
			Inside: [2]float64{was.Inside.Mean, is.Inside.Mean}, Far: [2]float64{was.Far.Mean, is.Far.Mean}}
		seeds := slices.DeleteFunc(slices.Clone(before), func(o TextModel) bool { return o.Kind != "documents" || o.Row != m.Row })
		r.Noise, r.NoiseFar = widest(seeds, func(f collapse.Failure) float64 { return f.Inside.Mean }), widest(seeds, func(f collapse.Failure) float64 { return f.Far.Mean })
		r.Newlines = r.Before == r.After
		r.Within = math.Abs(r.Inside[1]-r.Inside[0]) <= r.Noise && math.Abs(r.Far[1]-r.Far[0]) <= r.NoiseFar
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no row of %s is in both %s and %s; run one again with: stuffed study run %s --row HASH --store %s/%s, then stuffed study collect", errNothing, TextLawPlan, root, with, TextLawPlan, with, TextLawPlan)
	}
	slices.SortStableFunc(out, func(a, b Retrained) int { return cmp.Or(strings.Compare(a.Row, b.Row), a.Seed-b.Seed) })
	return out, nil
}

// widest returns the largest difference between two models.
func widest(models []TextModel, of func(collapse.Failure) float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, m := range models {
		low, high = min(low, of(m.Failure)), max(high, of(m.Failure))
	}
	return high - low
}

// AgainMarkdown writes the comparison as a table with its outcome in one sentence.
func AgainMarkdown(all []Retrained) string {
	var b strings.Builder
	b.WriteString("| row | model | newlines: as shipped → again | excess, nat | documents within T, nat (seeds differ by) | documents far, nat (seeds differ by) | same |\n|---|---|---|---|---|---|---|\n")
	verdicts, within := 0, 0
	for _, r := range all {
		if r.Newlines {
			verdicts++
		}
		if r.Within {
			within++
		}
		fmt.Fprintf(&b, "| %s | N %d T %d seed %d | %s → %s | %.3f → %.3f | %.4f → %.4f (%.4f) | %.4f → %.4f (%.4f) | %v |\n", r.Row, r.N, r.T, r.Seed, r.Before, r.After, r.Excess[0], r.Excess[1],
			r.Inside[0], r.Inside[1], r.Noise, r.Far[0], r.Far[1], r.NoiseFar, map[bool]string{true: "yes", false: "no"}[r.Newlines && r.Within])
	}
	fmt.Fprintf(&b, "\n%d of %d models keep their verdict on newlines; the losses on documents of %d lie within what two seeds of the row differ by.\n", verdicts, len(all), within)
	return b.String()
}

// AgainFolder holds the rows that were trained a second time: a folder of studies inside the folder of studies.
const AgainFolder = "again"

// retraining is what training again from the same seed changes, next to what changing the seed does.
type retraining struct {
	models           []Retrained
	one, row, seeds  float64 // nats, standard deviation of the excess on newlines: over trainings of one seed; over the seeds of the rows trained again; over the seeds of a cell of the grid
	losses, toSeeds  float64 // nats, largest difference of the training loss over the last tenth: over trainings of one seed; over the seeds of the row
	before, replaced []TextModel
}

// retrainingOf reads both trainings.
func retrainingOf(root string) (r retraining, err error) {
	with := filepath.Join(root, AgainFolder)
	if r.models, err = Again(root, with); err != nil {
		return r, err
	}
	if r.before, err = textModels(root); err != nil {
		return r, err
	}
	after, err := textModels(with)
	if err != nil {
		return r, err
	}
	r.replaced = slices.Clone(r.before)
	for i, m := range r.replaced {
		k := slices.IndexFunc(after, func(o TextModel) bool { return o.Kind == m.Kind && o.Row == m.Row && o.Member == m.Member })
		if k >= 0 {
			r.replaced[i] = after[k]
		}
	}
	var square float64
	for _, m := range r.models {
		d := m.Excess[1] - m.Excess[0]
		square += d * d / float64(2*len(r.models)) // the difference of two draws has twice their variance
	}
	again := func(m TextModel) bool {
		return slices.ContainsFunc(r.models, func(o Retrained) bool { return o.Row == m.Row })
	}
	r.one, r.row, r.seeds = math.Sqrt(square), overSeeds(r.before, again), overSeeds(r.before, TextModel.grid)
	r.losses, r.toSeeds, err = lastLosses(root, with)
	return r, err
}

// overSeeds is the standard deviation of the excess on newlines over the seeds of a row, pooled over the chosen rows.
func overSeeds(all []TextModel, chosen func(TextModel) bool) float64 {
	by := map[string][]float64{}
	for _, m := range all {
		if m.Kind == "newlines" && chosen(m) {
			by[m.Row] = append(by[m.Row], m.Excess.Mean)
		}
	}
	sum, free := 0.0, 0.0
	for _, v := range by {
		if len(v) > 1 {
			sum, free = sum+variance(v)*float64(len(v)-1), free+float64(len(v)-1)
		}
	}
	return math.Sqrt(sum / free)
}

// lastLosses compares training losses over the last tenth of the steps.
func lastLosses(root, with string) (again, seeds float64, err error) {
	before, err := TextFlatness(root)
	if err != nil {
		return 0, 0, err
	}
	after, err := TextFlatness(with)
	if err != nil {
		return 0, 0, err
	}
	for _, a := range after {
		for _, b := range before {
			if a.Row == b.Row && a.Seed == b.Seed {
				again = max(again, math.Abs(a.Last-b.Last))
			}
			if a.Row == b.Row {
				for _, o := range before {
					if o.Row == b.Row {
						seeds = max(seeds, math.Abs(o.Last-b.Last))
					}
				}
			}
		}
	}
	return again, seeds, nil
}

// textAgainClaim asks whether training again gives the same model.
func (e evidence) textAgainClaim() (Claim, error) {
	c := Claim{ID: "text again", Where: "v1, v2: one training each", Claim: "on real text, a model trained again from the same seeds gets the same verdict on newlines", Paper: "not asked", Figure: "22_again",
		Rule: "set after these rows had been seen (datasets/study/text-law/RULES.md): for the claim when every model keeps its verdict on newlines and both its losses on documents lie within what two seeds of the row differ by; against it when a model turns from failing to holding or from holding to failing; otherwise undecided"}
	r, err := retrainingOf(e.root)
	if err != nil {
		return c.open(err)
	}
	kept, within, turned, said := 0, 0, 0, []string(nil)
	for _, m := range r.models {
		if m.Newlines {
			kept++
		} else if m.Before != undecidedText && m.After != undecidedText {
			turned++
		}
		if m.Within {
			within++
		}
		said = append(said, fmt.Sprintf("N %d T %d seed %d %s → %s, excess %.2f → %.2f nat", m.N, m.T, m.Seed, m.Before, m.After, m.Excess[0], m.Excess[1]))
	}
	c.Ours = fmt.Sprintf("%d of %d keep their verdict (%s); losses on documents of %d within what seeds differ by; the training loss over the last tenth differs by at most %.2g nat, seeds by %.2g; standard deviation of the excess %.2f nat over trainings of one seed, %.2f over the seeds of the same row, %.2f over those of a cell of the grid (pooled)",
		kept, len(r.models), strings.Join(said, ", "), within, r.losses, r.toSeeds, r.one, r.row, r.seeds)
	swapped, err := r.swapped(e.root)
	if err != nil {
		return c, err
	}
	c.Ours += swapped
	c.Verdict = Verdict(decided(kept == len(r.models) && within == len(r.models), turned > 0))
	return c, nil
}

// swapped says how the study's answers would change with the second training in place of the first.
func (r retraining) swapped(root string) (string, error) {
	grid := slices.DeleteFunc(slices.Clone(r.replaced), func(m TextModel) bool { return !m.grid() })
	newlines := ofKind(grid, "newlines")
	_, tau, p := textTau(grid)
	said := fmt.Sprintf("; with the second training in place of the first: %d of %d fail, τ %.2f (p %.2g)", failingText(newlines), len(newlines), tau, p)
	if x := explosionsOf(grid); len(x.exploding) > 0 {
		seen, expected, p := coincide(x.exploding)
		said += fmt.Sprintf(", explosion and failure coincide in %.0f, %.1f expected (p %.2g)", seen, expected, p)
	}
	pairs, _ := textStates(r.replaced)
	for _, policy := range []string{"carried", "passed"} {
		var excess []float64
		for _, d := range pairs {
			if d.Policy == policy {
				excess = append(excess, d.Excess)
			}
		}
		if mean, p := signFlip(excess); len(excess) > 0 {
			said += fmt.Sprintf(", %s less zero states %+.2f nat (p %.2g)", policy, mean, p)
		}
	}
	longer, err := textLonger(root, ofKind(r.replaced, "newlines"))
	if err != nil {
		return "", err
	}
	if value, low, high, amounts, each := tokenSlope(longer); amounts >= fewestAmounts && len(each) >= fewestAmounts {
		said += fmt.Sprintf(", %.2f [%.2f, %.2f] nat per doubling of the tokens", value, low, high)
	}
	return said, nil
}
