package fit

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Outcome is the verdict on one trained model: N in millions of scalars, T_train in K tokens.
type Outcome struct {
	N, T  float64
	Run   string // seed or other name; thresholds are found within a run
	Fails bool
}

// Direction counts the comparable pairs of outcomes along one axis.
type Direction struct {
	Agree    int     `json:"agree"`    // pairs that differ as the claim says
	Violate  int     `json:"violate"`  // pairs that differ the other way
	Same     int     `json:"same"`     // pairs with equal outcomes say nothing
	P        float64 `json:"p"`        // permutation test: chance of at least as much agreement without any order
	Monotone bool    `json:"monotone"` // no violation
}

// Monotonicity tests both directions of “fails if and only if T_train is below a threshold that grows with N”.
type Monotonicity struct {
	AlongT Direction `json:"along_t"` // at equal N, longer training turns failing into passing, never back
	AlongN Direction `json:"along_n"` // at equal T_train, more state turns passing into failing, never back
	Holds  bool      `json:"holds"`   // both are monotone, and both agree more than chance would (p < 0.05)
}

const permutations = 2000

// Monotone compares all pairs with equal N (any run) along T and with equal T along N. The p-values permute the
// outcomes among the T of each N, or among the N of each T.
func Monotone(outcomes []Outcome, seed uint64) Monotonicity {
	n := func(o Outcome) float64 { return o.N }
	t := func(o Outcome) float64 { return o.T }
	m := Monotonicity{AlongT: direction(outcomes, n, t, true, seed), AlongN: direction(outcomes, t, n, false, seed)}
	m.Holds = m.AlongT.Monotone && m.AlongN.Monotone && m.AlongT.P < 0.05 && m.AlongN.P < 0.05
	return m
}

// direction looks along axis within groups of equal fixed; failsFirst: the claim is that failing comes first.
func direction(outcomes []Outcome, fixed, axis func(Outcome) float64, failsFirst bool, seed uint64) Direction {
	groups := map[float64][]Outcome{}
	for _, o := range outcomes {
		groups[fixed(o)] = append(groups[fixed(o)], o)
	}
	keys := make([]float64, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	count := func() (d Direction) {
		for _, k := range keys {
			for i, a := range groups[k] {
				for _, b := range groups[k][i+1:] {
					if axis(a) > axis(b) {
						a, b = b, a
					}
					switch {
					case axis(a) == axis(b):
					case a.Fails == b.Fails:
						d.Same++
					case a.Fails == failsFirst:
						d.Agree++
					default:
						d.Violate++
					}
				}
			}
		}
		return d
	}
	d := count()
	d.Monotone = d.Violate == 0
	random := rand.New(rand.NewPCG(seed, 0x0e0e))
	reached := 1
	for range permutations {
		for _, k := range keys {
			g := groups[k]
			random.Shuffle(len(g), func(i, j int) { g[i].Fails, g[j].Fails = g[j].Fails, g[i].Fails })
		}
		if c := count(); c.Agree-c.Violate >= d.Agree-d.Violate {
			reached++
		}
	}
	d.P = float64(reached) / (permutations + 1)
	return d
}

// Brackets turns outcomes into thresholds, one for each N and run: low is the largest T_train that fails, high the
// smallest passing one above it. Runs that pass below low are not monotone and are named in the warnings.
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
