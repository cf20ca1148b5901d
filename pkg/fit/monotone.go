package fit

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/combin"
)

// Outcome is the verdict on one trained model: N in millions of state scalars, T_train in K tokens.
type Outcome struct {
	N, T  float64
	Run   string // seed or other name; thresholds are found within a run
	Fails bool
}

// Direction counts the comparable pairs of outcomes along one axis.
type Direction struct {
	Agree    int     `json:"agree"`     // pairs that differ as claimed
	Violate  int     `json:"violate"`   // pairs that differ the opposite way
	Same     int     `json:"same"`      // pairs with equal outcomes, which carry no information
	P        float64 `json:"p"`         // probability of at least this much agreement under the null hypothesis of no order
	TwoSided float64 `json:"two_sided"` // probability of at least this much order in either direction
	Monotone bool    `json:"monotone"`  // no violation
}

// Monotonicity tests both directions of “fails if and only if T_train is below a threshold that grows with N”.
type Monotonicity struct {
	AlongT Direction `json:"along_t"` // at equal N, longer training turns failing into passing, never back
	AlongN Direction `json:"along_n"` // at equal T_train, more state turns passing into failing, never back
	Holds  bool      `json:"holds"`   // both are monotone, and both agree more than chance would (p < 0.05)
}

// Monotone compares all pairs with equal N (any run) along T, and with equal T along N. The p-values are exact permutation p-values: under
// the null hypothesis, every arrangement of the outcomes among the T of each N, or among the N of each T, is equally likely. Models are
// treated as independent, including seeds of the same row.
func Monotone(outcomes []Outcome) Monotonicity {
	n := func(o Outcome) float64 { return o.N }
	t := func(o Outcome) float64 { return o.T }
	m := Monotonicity{AlongT: direction(outcomes, n, t, true), AlongN: direction(outcomes, t, n, false)}
	m.Holds = m.AlongT.Monotone && m.AlongN.Monotone && m.AlongT.P < 0.05 && m.AlongN.P < 0.05
	return m
}

// direction looks along axis within groups of equal fixed; failsFirst: the claim is that failing comes first.
func direction(outcomes []Outcome, fixed, axis func(Outcome) float64, failsFirst bool) (d Direction) {
	groups := map[float64][]Outcome{}
	for _, o := range outcomes {
		groups[fixed(o)] = append(groups[fixed(o)], o)
	}
	chance := map[int]float64{0: 1} // of each score, agreeing minus violating pairs, over all groups
	for _, at := range ascending(groups) {
		group := groups[at]
		slices.SortStableFunc(group, func(a, b Outcome) int { return cmp.Compare(axis(a), axis(b)) })
		var levels []int // how many outcomes share each value of the axis, ascending
		fails := 0
		for i, low := range group {
			if i == 0 || axis(low) != axis(group[i-1]) {
				levels = append(levels, 0)
			}
			levels[len(levels)-1]++
			if low.Fails {
				fails++
			}
			for _, high := range group[i+1:] {
				switch {
				case axis(low) == axis(high):
				case low.Fails == high.Fails:
					d.Same++
				case low.Fails == failsFirst:
					d.Agree++
				default:
					d.Violate++
				}
			}
		}
		chance = added(chance, scores(levels, fails, failsFirst))
	}
	d.Monotone = d.Violate == 0
	seen := d.Agree - d.Violate
	for _, score := range ascending(chance) {
		p := chance[score]
		if score >= seen {
			d.P += p
		}
		if score >= abs(seen) || score <= -abs(seen) {
			d.TwoSided += p
		}
	}
	d.P, d.TwoSided = min(d.P, 1), min(d.TwoSided, 1)
	return d
}

// ascending returns a map's keys in order, so that floating-point sums over them are reproducible to the last digit.
func ascending[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// scores is the distribution of agreeing minus violating pairs when the given number of failures falls at random on the positions,
// levels[i] of which share the i-th value of the axis.
func scores(levels []int, fails int, failsFirst bool) map[int]float64 {
	type state struct{ fails, score int } // so far; the passes follow from the places
	ways := map[state]float64{{}: 1}
	places := 0
	for _, n := range levels {
		next := map[state]float64{}
		for _, s := range slices.SortedFunc(maps.Keys(ways), func(a, b state) int { return cmp.Or(a.fails-b.fails, a.score-b.score) }) {
			w := ways[s]
			passes := places - s.fails
			for k := 0; k <= min(n, fails-s.fails); k++ {
				change := s.fails*(n-k) - passes*k // pairs of a failure below a pass, less pairs of a pass below a failure
				if !failsFirst {
					change = -change
				}
				next[state{s.fails + k, s.score + change}] += w * choose(n, k)
			}
		}
		ways, places = next, places+n
	}
	out, all := map[int]float64{}, choose(places, fails)
	for s, w := range ways {
		if s.fails == fails {
			out[s.score] += w / all
		}
	}
	return out
}

// added is the distribution of the sum of two independent scores (their convolution).
func added(a, b map[int]float64) map[int]float64 {
	out := map[int]float64{}
	for _, x := range ascending(a) {
		for y, q := range b {
			out[x+y] += a[x] * q // one y for each x
		}
	}
	return out
}

func choose(n, k int) float64 { return math.Round(combin.GeneralizedBinomial(float64(n), float64(k))) }

func abs(x int) int { return max(x, -x) }

// Brackets turns outcomes into thresholds, one per N and run: low is the largest failing T_train, high the smallest passing one above it.
// Runs that pass below low are not monotone and are named in the warnings.
func Brackets(outcomes []Outcome) (points []Point, warnings []string) {
	type key struct {
		n   float64
		run string
	}
	groups := map[key][]Outcome{}
	for _, o := range outcomes {
		k := key{o.N, o.Run}
		groups[k] = append(groups[k], o)
	}
	keys := make([]key, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.run, b.run)) })
	for _, k := range keys {
		p := Point{N: k.n, Low: math.Inf(-1), High: math.Inf(1)}
		for _, o := range groups[k] {
			if o.Fails {
				p.Low = max(p.Low, o.T)
			}
		}
		early := false
		for _, o := range groups[k] {
			switch {
			case o.Fails:
			case o.T > p.Low:
				p.High = min(p.High, o.T)
			default:
				early = true
			}
		}
		if early {
			warnings = append(warnings, fmt.Sprintf("n_s %.4g, run %s: passes at a length below %.4g K, where it fails; the larger one counts", k.n, k.run, p.Low))
		}
		points = append(points, p)
	}
	return points, warnings
}
