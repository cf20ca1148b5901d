package paper

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// onStream returns the summaries of the setting on which the verdict rests, by architecture, and its models.
func (e evidence) onStream() (map[string]Summary, []Compared, error) {
	all, err := ComparedModels(e.root)
	if err != nil {
		return nil, nil, err
	}
	models := slices.DeleteFunc(all, func(m Compared) bool { return m.Kind != streamKind || m.T != streamShort })
	if len(models) == 0 {
		return nil, nil, orMissing(nil, fmt.Sprintf("models of the recall stream at T %d", streamShort))
	}
	by := map[string]Summary{}
	for _, s := range Summaries(models) {
		by[s.Architecture] = s
	}
	return by, models, nil
}

// said puts an architecture's number of failures and its excess into words.
func (s Summary) said() string {
	name := ArchitectureNames[s.Architecture]
	if s.Models == 0 {
		return name + " has not run"
	}
	if s.Learned == 0 {
		return fmt.Sprintf("%s 0 of %d learned", name, s.Models)
	}
	return fmt.Sprintf("%s %d of %d, %v", name, s.Failing, s.Learned, s.Excess)
}

// summaryOf returns the summary of the named architecture, or an empty one if it has no models.
func summaryOf(by map[string]Summary, name string) Summary {
	s := by[name]
	s.Architecture = name
	return s
}

// othersFail judges the paper's claim about other architectures: question 1 of RULES.md.
func (e evidence) othersFail() (Claim, error) {
	c := Claim{ID: "RWKV-6 and others", Where: "v1 Fig. 1c, v2 Fig. 13–15", Claim: "RWKV-6, Mamba-1 and HGRN-2 fail too, more mildly", Paper: "curves only", Figure: "18_architectures",
		Rule: fmt.Sprintf("fixed before the study ran (datasets/study/architectures/RULES.md), on the recall stream at T %d: an architecture speaks for the claim if most of its learned models fail and its mean excess lies below that of Mamba-2 with bootstrap intervals over seeds that do not meet, against it if all of its learned models hold or its excess lies above that of Mamba-2 with intervals that do not meet; not testable if most models of Mamba-2 do not fail", streamShort)}
	by, _, err := e.onStream()
	if err != nil {
		return c, err
	}
	base := by["mamba2"]
	said := []string{base.said()}
	var sides []Side
	for _, name := range milder {
		s := summaryOf(by, name)
		said = append(said, s.said())
		below, above := s.Excess.High < base.Excess.Low, s.Excess.Low > base.Excess.High
		sides = append(sides, decided(s.Learned > 0 && s.mostFail() && below, s.Learned > 0 && (s.Held == s.Learned || above)))
	}
	c.Ours = fmt.Sprintf("of 65.5M tokens, equal width and state, failing of learned models and their excess in nats: %s", strings.Join(said, "; "))
	if c.Verdict = Verdict(sides...); base.Learned == 0 || !base.mostFail() {
		c.Verdict = NotTestable
	}
	return c, nil
}

// architecturesUnshown says how many architectures of the study have run on the stream that decides, which have not, and what else
// there is.
func architecturesUnshown(root string) (string, error) {
	all, err := ComparedModels(root)
	if err != nil {
		return "", err
	}
	texts, longer := map[string]bool{}, 0
	var ran, missing, others []string
	for _, m := range all {
		switch {
		case m.Kind != streamKind:
			texts[fmt.Sprint(m.Row, m.Member)] = true
		case m.T != streamShort:
			longer++
		case !slices.Contains(ran, m.Architecture):
			ran = append(ran, m.Architecture)
		}
	}
	for _, name := range Architectures {
		if !slices.Contains(ran, name) {
			missing = append(missing, ArchitectureNames[name])
		} else if slices.Contains(milder, name) {
			others = append(others, ArchitectureNames[name])
		}
	}
	text := fmt.Sprintf("Of the study `architectures` %d of %d architectures have run on the recall stream at T %d; models on it at other lengths: %d, models of text: %d.",
		len(ran), len(Architectures), streamShort, longer, len(texts))
	if len(missing) > 0 {
		text += fmt.Sprintf(" Missing are %s; of the three that the paper names there are %s.", strings.Join(missing, ", "), strings.Join(others, ", "))
	}
	if len(texts) < len(Architectures) {
		text += " Nothing is said about text."
	}
	return text, nil
}

// milder are the architectures that fail more mildly than Mamba-2, says the paper.
var milder = []string{"rwkv6", "mamba1", "hgrn2"}

// least is the smallest difference, in nats, by which architectures that do not erase must be worse.
const least = 0.05

// erasingHelps judges question 2 of RULES.md.
func (e evidence) erasingHelps() (Claim, error) {
	c := Claim{ID: "erasing", Where: "v1 §4, v2 §3 (the mechanism)", Claim: "models whose writes erase what a key had stored do not fail beyond T; models that only add do", Paper: "argued, not tested", Figure: "18_architectures",
		Rule: fmt.Sprintf("fixed before the study ran (datasets/study/architectures/RULES.md): on the recall stream at T %d, mean excess of each of seven architectures that only add against that of each of four with a delta rule, exact permutation test of the labels, two-sided: for the claim when those that add are worse by %g nat or more with p below 0.05, against it when those that erase are worse with p below 0.05 or two of them fail in most of their models; not testable when fewer than two that add fail in most of theirs, or fewer than three of a family have learned", streamShort, least)}
	by, models, err := e.onStream()
	if err != nil {
		return c, err
	}
	family := func(names []string) (means []float64, failing int, said []string) {
		for _, name := range names {
			s := summaryOf(by, name)
			said = append(said, s.said())
			if s.Learned == 0 {
				continue
			}
			if means = append(means, s.Excess.Mean); s.mostFail() {
				failing++
			}
		}
		return means, failing, said
	}
	adds, addsFail, saidAdds := family(additive)
	erases, erasesFail, saidErases := family(erasing)
	c.Ours = fmt.Sprintf("failing of learned models and their excess in nats: only adding %s; erasing %s; beside them %s", strings.Join(saidAdds, ", "), strings.Join(saidErases, ", "), summaryOf(by, "llama").said())
	if len(adds) < 3 || len(erases) < 3 {
		c.Verdict = NotTestable
		return c, nil
	}
	difference, p := labels(adds, erases)
	c.Ours += fmt.Sprintf("; those that add are worse by %.2g nat (p %.2g); pairs: %s; %s", difference, p, strings.Join(pairsOf(models), ", "), growthBeside(models))
	c.Plain = fmt.Sprintf("on one synthetic stream, %d of %d architectures that only add fail in most models, %d of %d with a delta rule do; difference %.2g nat (p %.2g)", addsFail, len(adds), erasesFail, len(erases), difference, p)
	switch {
	case addsFail < 2:
		c.Verdict = NotTestable
	case erasesFail >= 2 || difference < 0 && p < 0.05:
		c.Verdict = Contradicted
	case difference >= least && p < 0.05:
		c.Verdict = Reproduced
	default:
		c.Verdict = Undecided
	}
	return c, nil
}

// rulePairs are architectures that differ by the delta rule; the first of each pair erases.
var rulePairs = [][2]string{{"gated-deltanet", "mamba2"}, {"kda", "gla"}, {"rwkv7", "rwkv6"}, {"deltanet", "retnet"}}

// pairsOf says how much worse the additive architecture of each pair is, with an interval over the models of both.
func pairsOf(models []Compared) (said []string) {
	random := apartSource()
	for _, pair := range rulePairs {
		var excess [2][]float64
		for _, m := range models {
			for i, name := range pair {
				if m.Architecture == name && m.Learned {
					excess[i] = append(excess[i], m.Excess.Mean)
				}
			}
		}
		name := fmt.Sprintf("%s against %s", ArchitectureNames[pair[1]], ArchitectureNames[pair[0]])
		if len(excess[0]) == 0 || len(excess[1]) == 0 {
			said = append(said, name+" –")
			continue
		}
		d := apart(excess[1], excess[0], random)
		said = append(said, fmt.Sprintf("%s %.2g [%.2g, %.2g]", name, d.Mean, d.Low, d.High))
	}
	return said
}

// growthBeside answers question 5 of RULES.md: how much states grow in models that fail and in models that hold.
func growthBeside(models []Compared) string {
	var failing, holding []float64
	for _, m := range models {
		switch {
		case !m.Learned || math.IsNaN(m.Growth):
		case m.Fails():
			failing = append(failing, m.Growth)
		case m.Holds():
			holding = append(holding, m.Growth)
		}
	}
	if len(failing) == 0 || len(holding) == 0 {
		return fmt.Sprintf("states of %d failing and %d holding models cannot be compared", len(failing), len(holding))
	}
	p := rankSum(failing, holding)
	return fmt.Sprintf("largest norm beyond T over the largest within, median over heads: %.2g in %d failing models, %.2g in %d that hold (Mann–Whitney p %.2g)",
		median(failing), len(failing), median(holding), len(holding), p)
}

// rankSum returns the two-sided p-value of the Mann–Whitney test, computed by permutation.
func rankSum(a, b []float64) (p float64) {
	r := ranks(slices.Concat(a, b))
	mean := 0.0
	for _, v := range r {
		mean += v / float64(len(r))
	}
	score := func() float64 { // the rank sum of the first group less its expectation
		sum := -mean * float64(len(a))
		for _, v := range r[:len(a)] {
			sum += v
		}
		return math.Abs(sum)
	}
	seen, reached, random := score(), 1, rand.New(rand.NewPCG(6, 0x7e87))
	for range permutations {
		random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
		if score() >= seen-1e-9 {
			reached++
		}
	}
	return float64(reached) / (permutations + 1)
}
