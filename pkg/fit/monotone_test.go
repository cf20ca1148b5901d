package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// counted goes over all pairs of rows as the definition says, in whatever order they stand.
func counted(outcomes []Outcome, alongT bool) (agree, violate, same int) {
	for _, a := range outcomes {
		for _, b := range outcomes {
			fixedA, fixedB, low, high := a.T, b.T, a.N, b.N
			if alongT {
				fixedA, fixedB, low, high = a.N, b.N, a.T, b.T
			}
			switch { // each pair once, the lower end first
			case fixedA != fixedB || low >= high:
			case a.Fails == b.Fails:
				same++
			case a.Fails == alongT: // along T failing comes first, along N passing does
				agree++
			default:
				violate++
			}
		}
	}
	return agree, violate, same
}

func randomMatrix(r *rand.Rand, sizes, lengths, runs int) (out []Outcome) {
	for n := range sizes {
		for l := range lengths {
			for run := range runs {
				if r.IntN(8) > 0 { // some are missing
					out = append(out, Outcome{float64(n + 1), float64(l + 1), fmt.Sprint(run), r.IntN(3) == 0})
				}
			}
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestPairsOfShuffledRows(t *testing.T) {
	for seed := range uint64(200) {
		rows := randomMatrix(rand.New(rand.NewPCG(seed, 1)), 4, 5, 3)
		m := Monotone(rows)
		for alongT, d := range map[bool]Direction{true: m.AlongT, false: m.AlongN} {
			if agree, violate, same := counted(rows, alongT); agree != d.Agree || violate != d.Violate || same != d.Same {
				t.Fatalf("seed %d, along T %v: %d for, %d against, %d equal; counted one by one %d, %d, %d", seed, alongT, d.Agree, d.Violate, d.Same, agree, violate, same)
			}
		}
	}
}

// The p-values are those of all arrangements of the outcomes within groups, written down one by one.
func TestPValuesAreExact(t *testing.T) {
	for seed := range uint64(40) {
		rows := randomMatrix(rand.New(rand.NewPCG(seed, 2)), 2, 3, 2)
		m := Monotone(rows)
		for alongT, d := range map[bool]Direction{true: m.AlongT, false: m.AlongN} {
			one, two := enumerated(rows, alongT, d.Agree-d.Violate)
			if math.Abs(one-d.P) > 1e-12 || math.Abs(two-d.TwoSided) > 1e-12 {
				t.Fatalf("seed %d, along T %v: p %.6f, two-sided %.6f; by enumeration %.6f, %.6f", seed, alongT, d.P, d.TwoSided, one, two)
			}
		}
	}
}

// enumerated takes every subset of the rows as the failing ones that leaves the number of failures of each group as it is.
func enumerated(rows []Outcome, alongT bool, seen int) (one, two float64) {
	group := func(o Outcome) float64 {
		if alongT {
			return o.N
		}
		return o.T
	}
	failures := func(rows []Outcome) map[float64]int {
		out := map[float64]int{}
		for _, o := range rows {
			if o.Fails {
				out[group(o)]++
			}
		}
		return out
	}
	want := failures(rows)
	all, reached, either := 0.0, 0.0, 0.0
	for bits := range 1 << len(rows) {
		other := slices.Clone(rows)
		for i := range other {
			other[i].Fails = bits>>i&1 == 1
		}
		if got := failures(other); fmt.Sprint(got) != fmt.Sprint(want) {
			continue
		}
		agree, violate, _ := counted(other, alongT)
		all++
		if agree-violate >= seen {
			reached++
		}
		if abs(agree-violate) >= abs(seen) {
			either++
		}
	}
	return reached / all, either / all
}

// The p-values are sums over maps, whose order changes from one loop to the next.
func TestMonotoneIsTheSameEveryTime(t *testing.T) {
	var outcomes []Outcome
	for i := range 45 {
		outcomes = append(outcomes, Outcome{N: float64(i % 5), T: float64(i / 5 % 3), Fails: i*7%11 < 4})
	}
	first := Monotone(outcomes)
	for range 50 {
		if again := Monotone(outcomes); again != first {
			t.Fatalf("%+v, then %+v", first, again)
		}
	}
}
