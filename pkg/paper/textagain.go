package paper

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
)

// Retrained is a model of text-law beside the one that was trained again from its row.
type Retrained struct {
	Row              string
	N, T, Seed       int
	Before, After    string     // on newlines: fails, holds or undecided
	Excess           [2]float64 // nats, on newlines
	Inside, Far      [2]float64 // nats, documents
	Noise, NoiseFar  float64    // nats: largest difference of two seeds of the row as it was
	Newlines, Within bool       // same verdict; both documents' losses within the noise
}

// judged is the verdict of the study on a model.
func (m TextModel) judged() string {
	switch {
	case m.Fails():
		return "fails"
	case m.Holds():
		return "holds"
	}
	return "undecided"
}

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
		return nil, fmt.Errorf("no row of %s is in both %s and %s; run one again with: stuffed study run %s --row HASH --store %s/%s, then stuffed study collect", TextLawPlan, root, with, TextLawPlan, with, TextLawPlan)
	}
	slices.SortStableFunc(out, func(a, b Retrained) int { return cmp.Or(strings.Compare(a.Row, b.Row), a.Seed-b.Seed) })
	return out, nil
}

// widest is the largest difference between two models.
func widest(models []TextModel, of func(collapse.Failure) float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, m := range models {
		low, high = min(low, of(m.Failure)), max(high, of(m.Failure))
	}
	return high - low
}

// AgainMarkdown is the comparison as a table with its outcome in a sentence.
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
