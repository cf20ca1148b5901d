package paper

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
	"stuffed/pkg/fit"
	"stuffed/pkg/table"
)

// Rules lists the rules by which a model fails beyond its training length: excess (nats above the level within the window),
// recall (points lost), ratio (far above twice the level within, where that is large enough for a ratio; see collapse.Limits),
// paper (as in arXiv 2410.07145: mean loss of all tokens, any position beyond T above twice the largest within) and strict (0.1
// nat above the level within, persistently, as package collapse judges the traced sequences).
var Rules = []string{"excess", "recall", "ratio", "paper", "strict"}

// Fails applies a rule to a model. An unknown rule is an error that lists those there are.
func (m Model) Fails(rule string, l collapse.Limits) (collapse.Answer, error) {
	yes := map[bool]collapse.Answer{false: collapse.No, true: collapse.Yes}
	switch rule {
	case "excess":
		return l.ByExcess(m.Failure), nil
	case "recall":
		return l.ByRecall(m.Failure), nil
	case "ratio":
		return l.ByRatio(m.Failure), nil
	case "paper":
		return yes[m.AllRatio > l.Factor], nil
	case "strict":
		return yes[m.Strict], nil
	}
	return collapse.Unknown, fmt.Errorf("rule %q is unknown; use one of %s", rule, strings.Join(Rules, ", "))
}

// failing applies the rule of the excess loss.
func (m Model) failing() bool { return limits.ByExcess(m.Failure) == collapse.Yes }

var limits = collapse.DefaultLimits()

// LearnedAccuracy is the share of values that a model must recall within its window to count as having learned the stream. A
// model that has not is equally bad everywhere, which no rule may mistake for robustness.
const LearnedAccuracy = 0.5

// Outcomes applies a rule to models. T is in K tokens. A run is one seed at one number of heads: the same N_S reached with other
// heads has a threshold of its own. Models that have not learned the stream, and those that the rule cannot judge, are left out
// and counted.
func Outcomes(models []Model, rule string, l collapse.Limits) (out []fit.Outcome, unlearned, unjudged int, err error) {
	for _, m := range models {
		if !m.Learned() {
			unlearned++
			continue
		}
		answer, err := m.Fails(rule, l)
		if err != nil {
			return nil, 0, 0, err
		}
		if answer == collapse.Unknown {
			unjudged++
			continue
		}
		out = append(out, fit.Outcome{N: m.NS, T: float64(m.T) / kilo, Run: fmt.Sprintf("seed %d, %d heads", m.Seed, m.Heads), Fails: answer == collapse.Yes})
	}
	return out, unlearned, unjudged, nil
}

// Capacity brackets how far back models recall: for every N and seed the largest age at which values of repeated keys are
// recalled with at least the given accuracy (low, K tokens) and the next age (high), over positions from half the training length
// to its end, at the training length that reaches furthest. Ages beyond the gap of the stream are not tested; high is then +Inf.
func Capacity(age *table.Table, policy string, level float64) ([]fit.Point, error) {
	t, err := Where(age, "policy", policy)
	if err != nil {
		return nil, err
	}
	c := map[string][]float64{}
	for _, name := range []string{"n_s", "train_length", "seed", "position", "end", "age", "age_end", "accuracy", "repeats"} {
		if c[name], err = t.Float(name); err != nil {
			return nil, err
		}
	}
	type model struct{ n, length, seed float64 }
	hits := map[model]map[float64][2]float64{}
	for i, n := range c["n_s"] {
		if c["position"][i] < c["train_length"][i]/2 || c["end"][i] > c["train_length"][i] {
			continue
		}
		m := model{n, c["train_length"][i], c["seed"][i]}
		if hits[m] == nil {
			hits[m] = map[float64][2]float64{}
		}
		h := hits[m][c["age"][i]]
		hits[m][c["age"][i]] = [2]float64{h[0] + c["accuracy"][i]*c["repeats"][i], h[1] + c["repeats"][i]}
	}
	type run struct{ n, seed float64 }
	best := map[run]fit.Point{}
	for m, byAge := range hits {
		var ages []float64
		for a := range byAge {
			ages = append(ages, a)
		}
		slices.Sort(ages)
		p := fit.Point{N: m.n, Low: math.Inf(-1), High: math.Inf(1)}
		for _, a := range ages {
			if h := byAge[a]; h[0] < level*h[1] {
				p.High = 2 * a / 1024 // a pair is two tokens
				break
			}
			p.Low = 2 * a / 1024
		}
		r := run{m.n, m.seed}
		if old, seen := best[r]; !seen || p.Low > old.Low || p.Low == old.Low && p.High > old.High {
			best[r] = p
		}
	}
	points := slices.Collect(maps.Values(best))
	slices.SortFunc(points, func(a, b fit.Point) int {
		return slices.Compare([]float64{a.N, a.Low, a.High}, []float64{b.N, b.Low, b.High})
	})
	if len(points) == 0 {
		return nil, fmt.Errorf("no age was tested within the window")
	}
	return points, nil
}

// BracketRow is one threshold in the format that stuffed fit reads.
type BracketRow struct {
	NS   float64 `parquet:"n_s" doc:"size of the state, million scalars"`
	Low  float64 `parquet:"low" doc:"lower end of the bracket, K tokens; missing where not known"`
	High float64 `parquet:"high" doc:"upper end"`
}

// Bracketed returns the thresholds as a table of [BracketRow].
func Bracketed(points []fit.Point) *table.Table {
	rows := make([]BracketRow, len(points))
	for i, p := range points {
		rows[i] = BracketRow{p.N, known(p.Low), known(p.High)}
	}
	return table.Of(rows)
}

func known(x float64) float64 {
	if math.IsInf(x, 0) {
		return math.NaN()
	}
	return x
}
