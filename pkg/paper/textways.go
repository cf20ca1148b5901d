package paper

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
	"stuffed/pkg/interval"
)

// gridHeads is the number of heads per layer in the grid of text-law; other numbers are a second way to change the size of the
// state.
const gridHeads = 8

// wayDifference is by how much the excess of models whose state was enlarged by heads exceeds that of models with as large a
// state in N, at one T.
type wayDifference struct {
	T, Heads, N int // number of heads at N 32, and the N of the grid with as large a state
	collapse.Estimate
	Student Mean // the same with Welch's interval
}

func (d wayDifference) String() string {
	return fmt.Sprintf("T %d, %d heads less N %d: %.2f [%.2f, %.2f] nat", d.T, d.Heads, d.N, d.Mean, d.Low, d.High)
}

// textWays compares the mean excess of both ways to enlarge a state, with a percentile interval over seeds resampled on both
// sides.
func textWays(models []TextModel) (out []wayDifference) {
	excess := func(is func(TextModel) bool) (v []float64) {
		for _, m := range models {
			if is(m) {
				v = append(v, m.Excess.Mean)
			}
		}
		return v
	}
	for _, m := range models {
		d := wayDifference{T: m.T, Heads: m.Heads, N: m.State * m.Heads / gridHeads}
		if !m.in("heads") || slices.ContainsFunc(out, func(o wayDifference) bool { return o.T == d.T && o.Heads == d.Heads }) {
			continue
		}
		heads := excess(func(o TextModel) bool { return o.in("heads") && o.T == d.T && o.Heads == d.Heads })
		grid := excess(func(o TextModel) bool { return o.grid() && o.T == d.T && o.State == d.N })
		if len(grid) == 0 {
			continue
		}
		d.Estimate, d.Student = apart(heads, grid, apartSource()), minus(heads, grid)
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b wayDifference) int { return cmp.Or(a.T-b.T, a.Heads-b.Heads) })
	return out
}

// apartSource returns the random source that [apart] draws from, the same in every run.
func apartSource() *rand.Rand { return rand.New(rand.NewPCG(5, 0x7e87)) }

// apart is the difference of two means, with its percentile interval when both groups are resampled.
func apart(a, b []float64, random *rand.Rand) collapse.Estimate {
	mean := func(v []float64, pick func(i int) int) (sum float64) {
		for i := range v {
			sum += v[pick(i)] / float64(len(v))
		}
		return sum
	}
	same := func(i int) int { return i }
	drawn := make([]float64, resamples)
	for r := range drawn {
		drawn[r] = mean(a, func(int) int { return random.IntN(len(a)) }) - mean(b, func(int) int { return random.IntN(len(b)) })
	}
	low, high := interval.Percentiles(drawn)
	return collapse.Estimate{Mean: mean(a, same) - mean(b, same), Low: low, High: high, Values: int64(len(a) + len(b))}
}

// textHeadsClaim judges question 2 of RULES.md.
func (e evidence) textHeadsClaim() (Claim, error) {
	c := Claim{ID: "text heads", Where: "v2 §5: N_S", Claim: "on real text, models of equal state fail alike, whether the state lies in N or in heads (newlines)", Paper: "taken for granted", Figure: "22_ways",
		Rule: "fixed before these rows ran: difference of mean excess between 4 or 16 heads of N 32 and 8 heads of N 16 or 64 at each T, bootstrap over seeds; they agree by the rule when every interval holds 0; for the claim when all intervals besides lie within ±0.1 nat and no row is missing, against it when an interval leaves 0 out"}
	all, err := textModels(e.root)
	if err != nil {
		return c, err
	}
	ways := textWays(ofKind(all, "newlines"))
	if len(ways) == 0 {
		return c.open(notRun(all, "heads"))
	}
	missing, err := textMissing(all, "heads")
	if err != nil {
		return c, err
	}
	agree, close, student := true, missing == "", 0
	var said []string
	for _, d := range ways {
		agree = agree && d.Low <= 0 && d.High >= 0
		close = close && d.Low >= -limits.Excess && d.High <= limits.Excess
		if d.Student.Low > 0 || d.Student.High < 0 {
			student++
		}
		said = append(said, d.String())
	}
	c.Ours = fmt.Sprintf("%s by the rule; %s%s", map[bool]string{true: "they agree", false: "they do not agree"}[agree], strings.Join(said, ", "), missing)
	c.Ours += fmt.Sprintf("; a bootstrap over three seeds is too narrow, and by Welch's intervals, which decide nothing here, %d of %d leave 0 out", student, len(ways))
	c.Verdict = Verdict(decided(agree && close, !agree))
	return c, nil
}
