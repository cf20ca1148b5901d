package paper

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// ByteRules is the folder, among the studies trained again, of the byte models that ship, with the rules by which they are judged.
const ByteRules = AgainFolder + "/bytes"

// shippedBytes is the table of the models that ship; the others hold those that were trained again.
const shippedBytes = "shipped.csv"

// otherSums is the model by whose second training the order of the sums alone was changed.
const otherSums = "mamba2-chunk32"

// fewestAgain is the fewest models on which the claim is judged.
const fewestAgain = 3

// ByteTraining is one training of a byte model.
type ByteTraining struct {
	Name, Weights string
	Seed          int
	Newlines      TextModel // verdict and excess
	Inside, Far   float64   // nats, on documents
}

// ByteAgain is a byte model that ships beside its trainings from the same configuration.
type ByteAgain struct {
	Shipped, Again ByteTraining
	Seeds          []ByteTraining // the other seeds
	Noise          [2]float64     // nats: largest difference between two seeds within and far, without the second training
	Reproduced     bool
}

// Turned reports whether the verdict went from failing to holding or back.
func (b ByteAgain) Turned() bool {
	was, is := b.Shipped.Newlines.judged(), b.Again.Newlines.judged()
	return was != is && was != undecidedText && is != undecidedText
}

// ByteModelsAgain reads the tables of `stuffed study read` in root. Models without both other seeds are named in missing; beside holds trainings
// of no model that ships.
func ByteModelsAgain(root string) (out []ByteAgain, beside []ByteTraining, missing []string, err error) {
	shipped, err := byteModels(filepath.Join(root, ByteRules, shippedBytes))
	if err != nil {
		return nil, nil, nil, err
	}
	paths, err := filepath.Glob(filepath.Join(root, ByteRules, "*.csv"))
	if err != nil {
		return nil, nil, nil, err
	}
	var again []ByteTraining
	for _, path := range paths {
		if filepath.Base(path) == shippedBytes {
			continue
		}
		some, err := byteModels(path)
		if err != nil {
			return nil, nil, nil, err
		}
		again = append(again, some...)
	}
	for _, s := range shipped {
		b := ByteAgain{Shipped: s}
		trained := false
		for _, m := range again {
			switch {
			case m.Name != s.Name:
			case m.Seed == s.Seed:
				b.Again, trained = m, true
			default:
				b.Seeds = append(b.Seeds, m)
			}
		}
		if !trained || len(b.Seeds) < 2 {
			missing = append(missing, s.Name)
			continue
		}
		out = append(out, b.judged())
	}
	for _, m := range again {
		if !slices.ContainsFunc(shipped, func(s ByteTraining) bool { return s.Name == m.Name }) {
			beside = append(beside, m)
		}
	}
	return out, beside, missing, nil
}

// judged applies the rule for one model.
func (b ByteAgain) judged() ByteAgain {
	for i, of := range []func(ByteTraining) float64{func(m ByteTraining) float64 { return m.Inside }, func(m ByteTraining) float64 { return m.Far }} {
		low, high := of(b.Shipped), of(b.Shipped)
		for _, m := range b.Seeds {
			low, high = min(low, of(m)), max(high, of(m))
		}
		b.Noise[i] = high - low
	}
	b.Reproduced = b.Shipped.Newlines.judged() == b.Again.Newlines.judged() &&
		math.Abs(b.Again.Inside-b.Shipped.Inside) <= b.Noise[0] && math.Abs(b.Again.Far-b.Shipped.Far) <= b.Noise[1]
	return b
}

// byteModels reads a table of study.ReadRow.
func byteModels(path string) (out []ByteTraining, err error) {
	t, err := table.Read(path)
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"model", "weights", "kind"}, []string{"seed", "inside", "far"})
	if err != nil {
		return nil, err
	}
	var names []string
	type name struct{ model, kind string }
	inside, far, first := map[name][]float64{}, map[name][]float64{}, map[string]int{}
	for i, model := range c.text["model"] {
		k := name{model, c.text["kind"][i]}
		inside[k], far[k] = append(inside[k], c.float["inside"][i]), append(far[k], c.float["far"][i])
		if _, seen := first[model]; !seen {
			first[model], names = i, append(names, model)
		}
	}
	for _, model := range names {
		m := ByteTraining{Name: model, Seed: int(c.float["seed"][first[model]]), Weights: c.text["weights"][first[model]]}
		newlines, documents := name{model, "newlines"}, name{model, "documents"}
		if len(inside[newlines]) == 0 || len(inside[documents]) == 0 {
			return nil, fmt.Errorf("%s: model %s has no newlines or no documents; read it again with both", path, model)
		}
		excess := make([]float64, len(inside[newlines]))
		for i := range excess {
			excess[i] = far[newlines][i] - inside[newlines][i]
		}
		m.Newlines.Inside, m.Newlines.Far, m.Newlines.Excess = bootstrapped(inside[newlines]), bootstrapped(far[newlines]), bootstrapped(excess)
		m.Inside, m.Far = meanOf(inside[documents]).Value, meanOf(far[documents]).Value
		out = append(out, m)
	}
	return out, nil
}

// ByteAgainMarkdown writes the models as a table.
func ByteAgainMarkdown(all []ByteAgain, beside []ByteTraining) string {
	var b strings.Builder
	b.WriteString("| model | newlines: as shipped → again | excess, nat | excess of the other seeds | documents within T, nat (seeds differ by) | documents far, nat (seeds differ by) | weights | reproduced |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		var seeds []string
		for _, s := range r.Seeds {
			seeds = append(seeds, fmt.Sprintf("%.3f (%s)", s.Newlines.Excess.Mean, s.Newlines.judged()))
		}
		fmt.Fprintf(&b, "| %s | %s → %s | %.3f → %.3f | %s | %.4f → %.4f (%.4f) | %.4f → %.4f (%.4f) | %s | %s |\n", r.Shipped.Name, r.Shipped.Newlines.judged(), r.Again.Newlines.judged(),
			r.Shipped.Newlines.Excess.Mean, r.Again.Newlines.Excess.Mean, strings.Join(seeds, ", "), r.Shipped.Inside, r.Again.Inside, r.Noise[0], r.Shipped.Far, r.Again.Far, r.Noise[1],
			map[bool]string{true: "the same", false: "others"}[r.Shipped.Weights == r.Again.Weights], map[bool]string{true: "yes", false: "no"}[r.Reproduced])
	}
	for _, m := range beside {
		fmt.Fprintf(&b, "\nBeside it, %s: %s, excess %.3f nat; documents %.4f within T, %.4f far.\n", m.Name, m.Newlines.judged(), m.Newlines.Excess.Mean, m.Inside, m.Far)
	}
	return b.String()
}

// bytesAgainClaim asks whether a byte model that ships comes back on a CPU.
func (e evidence) bytesAgainClaim() (Claim, error) {
	c := Claim{ID: "byte models again", Where: "v1, v2: one training each", Claim: "a small text model that ships, trained again on a CPU, has the same verdict on newlines and the same loss on documents", Paper: "not asked",
		Rule: "fixed before any was trained again (datasets/study/again/bytes/RULES.md): a model is reproduced when the second training has the verdict on newlines of the first and both its losses on documents lie within what seeds differ by; for the claim when every model that was trained again is, against it when one turns from failing to holding or back, otherwise undecided; not testable with fewer than three models"}
	all, beside, missing, err := ByteModelsAgain(e.root)
	if err != nil {
		return c, err
	}
	reproduced, same, turned, seeds, kept := 0, 0, 0, 0, 0
	verdicts := map[string]int{}
	within, far := 0.0, 0.0
	for _, b := range all {
		was := b.Shipped.Newlines.judged()
		verdicts[was]++
		reproduced, same, turned = reproduced+one(b.Reproduced), same+one(b.Shipped.Weights == b.Again.Weights), turned+one(b.Turned())
		for _, s := range b.Seeds {
			seeds, kept = seeds+1, kept+one(s.Newlines.judged() == was)
		}
		within, far = max(within, b.Noise[0]), max(far, b.Noise[1])
	}
	c.Ours = fmt.Sprintf("%d of %d are reproduced (%d fail, %d hold, %d are undecided), the weights of %d byte for byte; of their other seeds %d of %d have the same verdict; losses on documents of seeds differ by up to %.2g nat within T and %.2g far",
		reproduced, len(all), verdicts["fails"], verdicts["holds"], verdicts[undecidedText], same, kept, seeds, within, far)
	for _, m := range beside {
		if i := slices.IndexFunc(all, func(b ByteAgain) bool { return m.Name == otherSums && b.Shipped.Name == "mamba2" }); i >= 0 {
			b := all[i].Shipped
			c.Ours += fmt.Sprintf("; Mamba-2 by other sums of the same (chunks of 32): %s, as shipped %s, excess %.2g against %.2g nat, documents off by %.2g within T and %.2g far (seeds %.2g and %.2g)", m.Newlines.judged(), b.Newlines.judged(),
				m.Newlines.Excess.Mean, b.Newlines.Excess.Mean, math.Abs(m.Inside-b.Inside), math.Abs(m.Far-b.Far), all[i].Noise[0], all[i].Noise[1])
		}
	}
	if len(missing) > 0 {
		c.Ours += "; without three trainings and not judged: " + strings.Join(missing, ", ")
	}
	if len(all) < fewestAgain {
		return c, fmt.Errorf("%w: %d byte models were trained again, %d are asked for", errNothing, len(all), fewestAgain)
	}
	c.Verdict = Verdict(decided(reproduced == len(all), turned > 0))
	return c, nil
}

// one is 1 for true.
func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
