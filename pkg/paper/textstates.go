package paper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// stateDifference is a model trained from other initial states less the one trained from zero states at the same N, T and seed.
type stateDifference struct {
	Policy               string
	N, T, Seed           int
	Excess, Inside, Far  float64 // nats: excess on newlines; loss on documents within the window and far beyond it
	FailsZero, FailsElse bool    // on newlines
}

// textStates pairs models of text-law by N, T and seed and names those without a partner.
func textStates(models []TextModel) (out []stateDifference, alone []string) {
	find := func(kind, policy string, m TextModel) *TextModel {
		i := slices.IndexFunc(models, func(o TextModel) bool {
			return o.Kind == kind && o.Policy == policy && (policy != "zero" || o.grid()) && o.State == m.State && o.T == m.T && o.Seed == m.Seed && o.Heads == m.Heads
		})
		if i < 0 {
			return nil
		}
		return &models[i]
	}
	for _, m := range models {
		if m.Kind != "newlines" || m.Policy == "zero" {
			continue
		}
		zero, documents, zeroDocuments := find("newlines", "zero", m), find("documents", m.Policy, m), find("documents", "zero", m)
		if zero == nil || documents == nil || zeroDocuments == nil {
			alone = append(alone, fmt.Sprintf("N %d T %d seed %d %s", m.State, m.T, m.Seed, m.Policy))
			continue
		}
		out = append(out, stateDifference{m.Policy, m.State, m.T, m.Seed, m.Excess.Mean - zero.Excess.Mean,
			documents.Inside.Mean - zeroDocuments.Inside.Mean, documents.Far.Mean - zeroDocuments.Far.Mean, zero.Fails(), m.Fails()})
	}
	return out, alone
}

// signFlip returns the mean of differences and the two-sided p-value over all ways to flip their signs, or over random ones if
// there are more than 20 differences.
func signFlip(v []float64) (mean, p float64) {
	n := len(v)
	if n == 0 {
		return 0, 1
	}
	sum := func(flip func(i int) bool) (s float64) {
		for i, x := range v {
			if flip(i) {
				x = -x
			}
			s += x
		}
		return s
	}
	seen := sum(func(int) bool { return false })
	reached := func(s float64) bool { return max(s, -s) >= max(seen, -seen)-1e-12 }
	count, all := 0, 1<<min(n, 20)
	random := rand.New(rand.NewPCG(6, 0x7e87))
	for set := range all {
		flip := func(i int) bool { return set>>i&1 == 1 }
		if n > 20 {
			flip = func(int) bool { return random.IntN(2) == 1 }
		}
		if reached(sum(flip)) {
			count++
		}
	}
	return seen / float64(n), float64(count) / float64(all)
}

// textStatesClaim judges question 6 of RULES.md.
func (e evidence) textStatesClaim() (Claim, error) {
	c := Claim{ID: "text states", Where: "v2 §4–5, 2507.02782", Claim: "on real text, training on carried or passed states keeps models from failing on newlines", Paper: "trains with carried states; 2K → 128K by passed ones (2507.02782)", Figure: "22_states",
		Rule: "fixed before these rows ran: difference of excess on newlines against the model from zero states of the same N, T and seed; each policy is one side, for the claim when the mean is negative with an exact two-sided sign-flip p below 0.05, against it when positive; loss on documents is tested likewise and decides nothing"}
	all, err := textModels(e.root)
	if err != nil {
		return c, err
	}
	pairs, alone := textStates(all)
	if len(pairs) == 0 {
		return c.open(notRun(all, "carried", "passed"))
	}
	missing, err := textMissing(all, "carried", "passed")
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	for _, policy := range []string{"carried", "passed"} {
		var excess, inside, far []float64
		before, after := 0, 0
		for _, d := range pairs {
			if d.Policy != policy {
				continue
			}
			excess, inside, far = append(excess, d.Excess), append(inside, d.Inside), append(far, d.Far)
			if d.FailsZero {
				before++
			}
			if d.FailsElse {
				after++
			}
		}
		if len(excess) == 0 {
			continue
		}
		mean, p := signFlip(excess)
		sides = append(sides, decided(mean < 0 && p < 0.05, mean > 0 && p < 0.05))
		in, pIn := signFlip(inside)
		out, pOut := signFlip(far)
		said = append(said, fmt.Sprintf("%s, %d pairs: excess on newlines %+.2f nat (p %.2g; %d fail, %d from zeros), documents within %+.3f (p %.2g), far %+.3f (p %.2g)",
			policy, len(excess), mean, p, after, before, in, pIn, out, pOut))
	}
	c.Ours = strings.Join(said, "; ") + missing
	if len(alone) > 0 {
		c.Ours += "; without a partner and left out: " + strings.Join(alone, ", ")
	}
	c.Verdict = Verdict(sides...)
	return c, nil
}
