package paper

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"stuffed/pkg/fit"
	"stuffed/pkg/table"
)

// Rules by which a model fails beyond its training length: ratio (loss over the last half of the sequence above twice
// that of the second half of the window), paper (any bucket above twice the largest in the window) and strict (0.1 nats
// above the window's level, persistently); the last two as package collapse judges them.
var Rules = map[string]string{"ratio": "fails", "paper": "paper", "strict": "strict"}

// LearnedAccuracy is the share of values that a model must recall within its window to count as having learned the
// stream. One that has not is bad everywhere alike, which no rule may take for robustness.
const LearnedAccuracy = 0.5

// learned keeps the models that have learned.
func learned(outcome *table.Table) (*table.Table, error) {
	accuracy, err := outcome.Float("inside_accuracy")
	if err != nil {
		return nil, err
	}
	t := outcome.Filter(func(i int) bool { return accuracy[i] >= LearnedAccuracy })
	if t.Rows() == 0 {
		return nil, fmt.Errorf("%w: no model has learned the stream", errNothing)
	}
	return t, nil
}

// Outcomes are the verdicts of a rule on the models of one initial state at the end of training. T is in K tokens. A run is
// a seed at a number of heads: equal N_S reached by other heads is a threshold of its own. Models that have not learned the
// stream are left out and counted.
func Outcomes(outcome *table.Table, policy, rule string) (out []fit.Outcome, unlearned int, err error) {
	column, known := Rules[rule]
	if !known {
		return nil, 0, fmt.Errorf("rule %q is unknown; use ratio, paper or strict", rule)
	}
	all, err := Last(outcome)
	if err != nil {
		return nil, 0, err
	}
	if all, err = Where(all, "policy", policy); err != nil {
		return nil, 0, err
	}
	t, err := learned(all)
	if err != nil {
		return nil, 0, err
	}
	columns := map[string][]float64{}
	for _, name := range []string{"n_s", "train_length", "seed", "heads", column} {
		if columns[name], err = t.Float(name); err != nil {
			return nil, 0, err
		}
	}
	for i := range t.Rows() {
		if v := columns[column][i]; v == 0 || v == 1 {
			out = append(out, fit.Outcome{N: columns["n_s"][i], T: columns["train_length"][i] / 1024, Run: fmt.Sprintf("seed %g, %g heads", columns["seed"][i], columns["heads"][i]), Fails: v == 1})
		}
	}
	if len(out) == 0 {
		return nil, 0, fmt.Errorf("no model was judged by the rule %s", rule)
	}
	return out, all.Rows() - t.Rows(), nil
}

// Capacity brackets how far back models recall: for every N and seed the largest age at which the values of repeated keys
// are recalled with at least the given accuracy (low, K tokens) and the next age (high), over positions from half the
// training length to its end, for the training length that reaches furthest. Ages beyond the gap of the stream are not
// tested: high is then +Inf.
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
		if c["position"][i] < c["train_length"][i]/2 || c["end"][i] > 1.5*c["train_length"][i] {
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

// Bracketed is a table of thresholds as stuffed fit reads it: n_s, low, high, empty where not known.
func Bracketed(points []fit.Point) *table.Table {
	n, low, high := make([]float64, len(points)), make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		n[i], low[i], high[i] = p.N, known(p.Low), known(p.High)
	}
	return table.New().AddFloat("n_s", n).AddFloat("low", low).AddFloat("high", high)
}

func known(x float64) float64 {
	if math.IsInf(x, 0) {
		return math.NaN()
	}
	return x
}
