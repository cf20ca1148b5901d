package paper

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/combin"
	"gonum.org/v1/gonum/stat/distuv"
)

// The verdicts on a claim.
const (
	Reproduced   = "reproduced"        // the settings that decide are for it and outnumber those left open
	Contradicted = "contradicted"      // the settings that decide are against it and outnumber those left open
	Mixed        = "mixed"             // some settings are for it, others against
	Undecided    = "undecided"         // intervals or tests leave both open
	NotTestable  = "not testable here" // the claim cannot come out either way with these models; the text says why
	NoResult     = "no result yet"     // the study has not run
)

// Side is what one setting says about a claim.
type Side int

// The sides that a setting can take.
const (
	Open Side = iota
	For
	Against
)

// Verdict combines the settings of a claim. Open settings are ignored if more than as many decide.
func Verdict(sides ...Side) string {
	count := map[Side]int{}
	for _, s := range sides {
		count[s]++
	}
	switch {
	case count[For] > 0 && count[Against] > 0:
		return Mixed
	case count[For]+count[Against] <= count[Open]:
		return Undecided
	case count[For] > 0:
		return Reproduced
	case count[Against] > 0:
		return Contradicted
	}
	return Undecided
}

// decided is For when a rule holds and Against when its opposite does.
func decided(yes, no bool) Side {
	switch {
	case yes && !no:
		return For
	case no && !yes:
		return Against
	}
	return Open
}

// Mean is a mean over models with its 95 % interval (Student); the interval of fewer than two is unbounded.
type Mean struct {
	Value, Low, High float64
	N                int
}

func meanOf(v []float64) Mean {
	n := len(v)
	m := Mean{math.NaN(), math.Inf(-1), math.Inf(1), n}
	if n == 0 {
		return m
	}
	m.Value = 0
	for _, x := range v {
		m.Value += x / float64(n)
	}
	if n < 2 {
		return m
	}
	squares := 0.0
	for _, x := range v {
		squares += (x - m.Value) * (x - m.Value)
	}
	half := distuv.StudentsT{Sigma: 1, Nu: float64(n - 1)}.Quantile(0.975) * math.Sqrt(squares/float64(n-1)/float64(n))
	m.Low, m.High = m.Value-half, m.Value+half
	return m
}

// minus is the difference of two groups, with Welch's interval.
func minus(a, b []float64) Mean {
	x, y := meanOf(a), meanOf(b)
	d := Mean{x.Value - y.Value, math.Inf(-1), math.Inf(1), x.N + y.N}
	if x.N < 2 || y.N < 2 {
		return d
	}
	u, w := variance(a)/float64(x.N), variance(b)/float64(y.N)
	if u+w == 0 {
		d.Low, d.High = d.Value, d.Value
		return d
	}
	nu := (u + w) * (u + w) / (u*u/float64(x.N-1) + w*w/float64(y.N-1))
	half := distuv.StudentsT{Sigma: 1, Nu: nu}.Quantile(0.975) * math.Sqrt(u+w)
	d.Low, d.High = d.Value-half, d.Value+half
	return d
}

func variance(v []float64) float64 {
	m, s := 0.0, 0.0
	for _, x := range v {
		m += x / float64(len(v))
	}
	for _, x := range v {
		s += (x - m) * (x - m)
	}
	return s / float64(len(v)-1)
}

// exp turns a mean of logarithms into a factor.
func (m Mean) exp() Mean { return Mean{math.Exp(m.Value), math.Exp(m.Low), math.Exp(m.High), m.N} }

func (m Mean) String() string {
	if m.N < 2 {
		return fmt.Sprintf("%.2g (1 model)", m.Value)
	}
	return fmt.Sprintf("%.2g [%.2g, %.2g]", m.Value, m.Low, m.High)
}

// p is the two-sided p-value of a mean of 0 (Student's t).
func (m Mean) p() float64 {
	if m.N < 2 {
		return 1
	}
	student := distuv.StudentsT{Sigma: 1, Nu: float64(m.N - 1)}
	half := (m.High - m.Low) / 2
	if half == 0 {
		return map[bool]float64{true: 1}[m.Value == 0]
	}
	return 2 * student.Survival(math.Abs(m.Value)/half*student.Quantile(0.975))
}

// listed formats numbers for a sentence.
func listed(v []float64) string {
	said := make([]string, len(v))
	for i, x := range v {
		said[i] = fmt.Sprintf("%.2g", x)
	}
	return strings.Join(said, ", ")
}

// signTest is the two-sided p-value of a of one kind against b of another.
func signTest(a, b int) float64 {
	n, k := a+b, min(a, b)
	if n == 0 {
		return 1
	}
	p := 0.0
	for i := 0; i <= k; i++ {
		p += math.Exp(logChoose(n, i) - float64(n)*math.Ln2)
	}
	return min(2*p, 1)
}

func logChoose(n, k int) float64 { return combin.LogGeneralizedBinomial(float64(n), float64(k)) }

// pair is two yes–no properties of one model, within a stratum.
type pair struct {
	stratum string
	a, b    bool
}

// association returns the one-sided exact p-value for a and b coinciding at least as often as observed, if they were independent
// within each stratum (Fisher's test over strata).
func association(pairs []pair) (both, expected, p float64) {
	seen, expected, chance := coincidences(pairs)
	for i := seen; i < len(chance); i++ {
		p += chance[i]
	}
	return float64(seen), expected, min(p, 1)
}

// coincide is [association] with the two-sided p-value: over all numbers of coincidences no likelier than the one observed.
func coincide(pairs []pair) (both, expected, p float64) {
	seen, expected, chance := coincidences(pairs)
	for _, c := range chance {
		if c <= chance[seen]*(1+1e-9) {
			p += c
		}
	}
	return float64(seen), expected, min(p, 1)
}

// coincidences counts how often a and b are both true, and returns the probability of every such count under independence.
func coincidences(pairs []pair) (seen int, expected float64, chance []float64) {
	type margins struct{ n, a, b, both int }
	strata, order := map[string]*margins{}, []string(nil)
	for _, q := range pairs {
		m := strata[q.stratum]
		if m == nil {
			m = &margins{}
			strata[q.stratum], order = m, append(order, q.stratum)
		}
		m.n++
		if q.a {
			m.a++
		}
		if q.b {
			m.b++
		}
		if q.a && q.b {
			m.both++
		}
	}
	slices.Sort(order)
	chance = []float64{1}
	for _, name := range order {
		m := strata[name]
		seen += m.both
		expected += float64(m.a) * float64(m.b) / float64(m.n)
		next := make([]float64, len(chance)+min(m.a, m.b))
		for k := max(0, m.a+m.b-m.n); k <= min(m.a, m.b); k++ {
			w := math.Exp(logChoose(m.a, k) + logChoose(m.n-m.a, m.b-k) - logChoose(m.n, m.b))
			for i, c := range chance {
				next[i+k] += c * w
			}
		}
		chance = next
	}
	return seen, expected, chance
}
