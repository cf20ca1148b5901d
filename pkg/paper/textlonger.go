package paper

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/pkg/interval"
	"stuffed/pkg/study"
)

// textAmounts returns the number of tokens that the models of each row were trained on.
func textAmounts(root string) (map[string]float64, error) {
	t, err := study.Read(root, TextLawPlan, "training")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row"}, []string{"tokens"})
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for i, row := range c.text["row"] {
		out[row] = max(out[row], c.float["tokens"][i])
	}
	return out, nil
}

// trainedText is a model on one kind of prompt with the number of tokens it was trained on.
type trainedText struct {
	TextModel
	Tokens float64
}

// textLonger returns the models of N 128, T 256 after different amounts of training, each with its own learning-rate decay.
func textLonger(root string, all []TextModel) (out []trainedText, err error) {
	amounts, err := textAmounts(root)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.in("longer") || m.grid() && m.State == 128 && m.T == 256 && m.Heads == gridHeads {
			out = append(out, trainedText{m, amounts[m.Row]})
		}
	}
	slices.SortStableFunc(out, func(a, b trainedText) int {
		return cmp.Or(cmp.Compare(a.Tokens, b.Tokens), cmp.Compare(a.Seed, b.Seed))
	})
	return out, nil
}

// tokenSlope is the slope of the excess against log2 tokens, mean over seeds, with its percentile interval over seeds.
func tokenSlope(models []trainedText) (value, low, high float64, amounts int, each []float64) {
	by, order, seen := map[int][][2]float64{}, []int(nil), map[float64]bool{}
	for _, m := range models {
		if by[m.Seed] == nil {
			order = append(order, m.Seed)
		}
		by[m.Seed], seen[m.Tokens] = append(by[m.Seed], [2]float64{math.Log2(m.Tokens), m.Excess.Mean}), true
	}
	for _, seed := range order {
		if s := slope(by[seed]); !math.IsNaN(s) {
			each = append(each, s)
		}
	}
	if len(each) == 0 {
		return math.NaN(), math.NaN(), math.NaN(), len(seen), nil
	}
	random, drawn := rand.New(rand.NewPCG(7, 0x7e87)), make([]float64, resamples)
	for i := range drawn {
		for range each {
			drawn[i] += each[random.IntN(len(each))] / float64(len(each))
		}
	}
	for _, s := range each {
		value += s / float64(len(each))
	}
	low, high = interval.Percentiles(drawn)
	return value, low, high, len(seen), each
}

// fewestAmounts is the number of training amounts, and of seeds, needed to answer question 7.
const fewestAmounts = 3

// textLongerClaim judges question 7 of RULES.md.
func (e evidence) textLongerClaim() (Claim, error) {
	c := Claim{ID: "text over-training", Where: "v2 §4.2", Claim: "on real text, more training brings the failure on (newlines, N 128, T 256)", Paper: "no failure at 20B tokens, failure later", Figure: "22_longer",
		Rule: "fixed before these rows ran: slope of the excess on newlines against log2 tokens of each seed, mean with an interval by bootstrap over seeds; for the claim above 0 throughout, against it below 0 throughout; not testable with fewer than three amounts or three seeds"}
	all, err := textModels(e.root)
	if err != nil {
		return c, err
	}
	models, err := textLonger(e.root, all)
	if err != nil {
		return c, err
	}
	if !slices.ContainsFunc(models, func(m trainedText) bool { return m.in("longer") }) {
		return c.open(notRun(all, "longer"))
	}
	missing, err := textMissing(all, "longer")
	if err != nil {
		return c, err
	}
	newlines := slices.DeleteFunc(slices.Clone(models), func(m trainedText) bool { return m.Kind != "newlines" })
	value, low, high, amounts, each := tokenSlope(newlines)
	seeds := len(each)
	var said []string
	for i := 0; i < len(newlines); {
		var excess []float64
		failing, tokens := 0, newlines[i].Tokens
		for ; i < len(newlines) && newlines[i].Tokens == tokens; i++ {
			excess = append(excess, newlines[i].Excess.Mean)
			if newlines[i].Fails() {
				failing++
			}
		}
		said = append(said, fmt.Sprintf("%.0fM tokens: %d of %d fail, mean excess %.2f", tokens/1e6, failing, len(excess), meanOf(excess).Value))
	}
	if amounts < fewestAmounts || seeds < fewestAmounts {
		c.Ours, c.Verdict = fmt.Sprintf("%d amounts of training, %d seeds with a slope (%s)%s", amounts, seeds, strings.Join(said, ", "), missing), NotTestable
		return c, nil
	}
	c.Ours = fmt.Sprintf("%.2f [%.2f, %.2f] nat per doubling of the tokens, %d seeds (%s)%s", value, low, high, seeds, strings.Join(said, ", "), missing)
	c.Verdict = Verdict(decided(low > 0, high < 0))
	if student := meanOf(each); c.Verdict != Undecided && student.Low <= 0 && student.High >= 0 {
		c.Ours += fmt.Sprintf("; a bootstrap over so few seeds is too narrow: the slopes are %s, and their Student interval, which decides nothing here, is [%.2f, %.2f]", listed(each), student.Low, student.High)
	}
	return c, nil
}
