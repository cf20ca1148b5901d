package trace

import (
	"math"

	"stuffed/pkg/lm"
)

// Summary holds statistics of the entries of one state.
type Summary struct{ Mean, Variance, Norm, AbsMax float64 }

// Summarise computes the statistics on the host; the variance is the population variance.
func Summarise(entries []float64) (s Summary) {
	var sum, squares float64
	for _, x := range entries {
		sum, squares, s.AbsMax = sum+x, squares+x*x, max(s.AbsMax, math.Abs(x))
	}
	n := float64(len(entries))
	s.Mean, s.Norm = sum/n, math.Sqrt(squares)
	s.Variance = squares/n - s.Mean*s.Mean
	return s
}

// PerHead copies a probe of a piece to the host as [layers, batch, padded tokens, heads], averaging over any finer axes within a head.
func PerHead(m lm.Model, name string, p lm.Piece) (values []float64, heads int, err error) {
	probe, err := lm.ProbeOf(m, name)
	if err != nil {
		return nil, 0, err
	}
	v, err := lm.Float64s(p.Probes[name])
	if err != nil {
		return nil, 0, err
	}
	heads, size := probe.Units(p.Probes[name].Shape().Dimensions)
	if size == 1 {
		return v, heads, nil
	}
	values = make([]float64, len(v)/size)
	for i, x := range v {
		values[i/size] += x / float64(size)
	}
	return values, heads, nil
}
