// Package fit fits threshold laws T(N) — the forget law and the recall law of
// arXiv 2410.07145 — to tables in which each threshold is known only as a
// bracket: fails at low, passes at high.
//
// The likelihood of a bracket is the probability that a normal error, on T or
// on ln T, leaves the threshold inside it (interval-censored maximum
// likelihood). No artificial point at the origin is added.
package fit

import (
	"fmt"
	"math"

	"stuffed/pkg/table"
)

// Point is one threshold: N in millions of state scalars, Low and High in K
// tokens. Low = −Inf: passed at the smallest length; High = +Inf: never passed;
// Low = High: known exactly.
type Point struct{ N, Low, High float64 }

// Exact reports whether the threshold is known exactly rather than as a bracket.
func (p Point) Exact() bool { return p.Low == p.High }

// Points reads the columns n_s, low and high. An empty low means −Inf, an empty high +Inf; rows in which both are empty carry no
// information and are an error.
func Points(t *table.Table) ([]Point, error) {
	if err := t.Require("n_s", "low", "high"); err != nil {
		return nil, err
	}
	columns := map[string][]float64{}
	for _, name := range []string{"n_s", "low", "high"} {
		values, err := t.Float(name)
		if err != nil {
			return nil, err
		}
		columns[name] = values
	}
	points := make([]Point, t.Rows())
	for i := range points {
		p := Point{columns["n_s"][i], columns["low"][i], columns["high"][i]}
		if math.IsNaN(p.Low) {
			p.Low = math.Inf(-1)
		}
		if math.IsNaN(p.High) {
			p.High = math.Inf(1)
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		points[i] = p
	}
	return points, nil
}

func (p Point) check() error {
	switch {
	case math.IsNaN(p.N) || math.IsInf(p.N, 0) || p.N <= 0:
		return fmt.Errorf("n_s is %v, want a number of millions above 0", p.N)
	case math.IsInf(p.Low, -1) && math.IsInf(p.High, 1):
		return fmt.Errorf("low and high are both empty; leave the row out, it says nothing")
	case math.IsNaN(p.Low) || math.IsInf(p.Low, 1) || math.IsNaN(p.High) || math.IsInf(p.High, -1):
		return fmt.Errorf("low is %v and high is %v, want K tokens or an empty cell", p.Low, p.High)
	case p.Low >= p.High:
		return fmt.Errorf("low is %v and high is %v, want low < high (fails at low, passes at high)", p.Low, p.High)
	case p.High <= 0:
		return fmt.Errorf("high is %v, want a positive number of K tokens", p.High)
	case p.Low < 0 && !math.IsInf(p.Low, -1):
		return fmt.Errorf("low is %v, want K tokens of at least 0 or an empty cell", p.Low)
	}
	return nil
}

// middle is a plausible threshold inside the bracket.
func (p Point) middle() float64 {
	switch {
	case p.Exact():
		return p.Low
	case math.IsInf(p.High, 1):
		return p.Low * math.Sqrt2
	case math.IsInf(p.Low, -1) || p.Low == 0:
		return p.High / math.Sqrt2
	}
	return math.Sqrt(p.Low * p.High)
}

// distance from a prediction to the bracket, 0 inside.
func (p Point) distance(x float64, scale func(float64) float64) float64 {
	switch {
	case x < p.Low:
		return scale(p.Low) - scale(x)
	case x > p.High:
		return scale(x) - scale(p.High)
	}
	return 0
}
