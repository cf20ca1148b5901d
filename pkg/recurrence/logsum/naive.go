// Package logsum is the recurrence of RWKV-4 (arXiv 2305.13048): per channel an average of values weighted by e^k that
// decays at a fixed rate, its numerator and denominator kept as num·e^max and den·e^max:
//
//	y_t = (e^{max−m} num + e^{u+k_t−m} v_t) / (e^{max−m} den + e^{u+k_t−m}),     m = max(max, u + k_t)
//	num ← e^{max+w−m} num + e^{k_t−m} v_t, den ← e^{max+w−m} den + e^{k_t−m},    max ← m = max(max + w, k_t)
//
// It reads before it writes. [Naive] is the definition in float64, [Chunk] the parallel graph, [Step] one token. Only
// num·e^max and den·e^max mean anything; gradients are of these: the graphs hold max constant.
package logsum

import (
	"fmt"
	"math"
)

// Empty is the max of a state that holds nothing.
const Empty = -1e30

// Dims are the sizes of one call.
type Dims struct{ Batch, Tokens, Channels int }

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	K, V          []float64 // [batch, tokens, channels]
	LogDecay      []float64 // w [channels], negative
	Bonus         []float64 // u [channels]
	Num, Den, Max []float64 // initial state [batch, channels], or nil for an empty one
	Segments      []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues the initial one
}

// Naive runs the definition token by token and returns y [batch, tokens, channels] and the last state [batch,
// channels]. watch, if not nil, sees the state after every token.
func Naive(s Sequence, watch func(batch, token int, num, den, max []float64)) (y, num, den, max []float64) {
	n := s.Batch * s.Channels
	y, num, den, max = make([]float64, len(s.V)), make([]float64, n), make([]float64, n), make([]float64, n)
	copy(num, s.Num)
	copy(den, s.Den)
	copy(max, s.Max)
	if s.Max == nil {
		restart(num, den, max)
	}
	for b := range s.Batch {
		rows := func(x []float64) []float64 { return x[b*s.Channels:][:s.Channels] }
		a, d, m := rows(num), rows(den), rows(max)
		segment := 0
		for t := range s.Tokens {
			row := b*s.Tokens + t
			if s.Segments != nil && s.Segments[row] != segment {
				segment = s.Segments[row]
				restart(a, d, m)
			}
			for c := range s.Channels {
				k, v, out := s.K[row*s.Channels+c], s.V[row*s.Channels+c], &y[row*s.Channels+c]
				top := math.Max(m[c], s.Bonus[c]+k)
				kept, own := math.Exp(m[c]-top), math.Exp(s.Bonus[c]+k-top)
				*out = (kept*a[c] + own*v) / (kept*d[c] + own)
				top = math.Max(m[c]+s.LogDecay[c], k)
				kept, own = math.Exp(m[c]+s.LogDecay[c]-top), math.Exp(k-top)
				a[c], d[c], m[c] = kept*a[c]+own*v, kept*d[c]+own, top
			}
			if watch != nil {
				watch(b, t, a, d, m)
			}
		}
	}
	return y, num, den, max
}

func restart(num, den, max []float64) {
	for i := range max {
		num[i], den[i], max[i] = 0, 0, Empty
	}
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Channels < 1 {
		return fmt.Errorf("logsum: dims %+v: all must be positive", d)
	}
	rows, states := d.Batch*d.Tokens, d.Batch*d.Channels
	for _, f := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"k", len(s.K), rows * d.Channels, false},
		{"v", len(s.V), rows * d.Channels, false},
		{"log decay", len(s.LogDecay), d.Channels, false},
		{"bonus", len(s.Bonus), d.Channels, false},
		{"num", len(s.Num), states, s.Max == nil},
		{"den", len(s.Den), states, s.Max == nil},
		{"max", len(s.Max), states, true},
		{"segments", len(s.Segments), rows, true},
	} {
		if f.got != f.want && !(f.optional && f.got == 0) {
			return fmt.Errorf("logsum: %s has %d entries, dims %+v need %d", f.name, f.got, d, f.want)
		}
	}
	return nil
}
