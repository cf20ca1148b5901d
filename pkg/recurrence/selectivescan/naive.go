// Package selectivescan is the recurrence of Mamba-1 (arXiv 2312.00752), whose every channel c and state n has a decay of
// its own, with state h ∈ R^{C×N}:
//
//	h_t[c,n] = e^{Δ_t[c] A[c,n]} h_{t−1}[c,n] + Δ_t[c] x_t[c] B_t[n]        y_t[c] = Σ_n h_t[c,n] C_t[n]
//
// It is written three times: [Naive] is the definition in float64, [Chunk] the graph that trains, [Step] one token.
package selectivescan

import (
	"fmt"
	"math"
)

// Dims are the sizes of one call.
type Dims struct {
	Batch, Tokens, Channels, State int
}

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	X, Delta []float64 // [batch, tokens, channels]; Delta not negative
	A        []float64 // [channels, state], negative
	B, C     []float64 // [batch, tokens, state]
	Initial  []float64 // [batch, channels, state] or nil for zeros
	Segments []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues Initial
}

// Naive runs the definition token by token and returns y [batch, tokens, channels] and the last state [batch,
// channels, state]. watch, if not nil, sees the state after every token.
func Naive(s Sequence, watch func(batch, token int, h []float64)) (y, state []float64) {
	y = make([]float64, len(s.X))
	state = make([]float64, s.Batch*s.Channels*s.State)
	copy(state, s.Initial)
	for b := range s.Batch {
		h := state[b*s.Channels*s.State:][:s.Channels*s.State]
		segment := 0
		for t := range s.Tokens {
			row := b*s.Tokens + t
			if s.Segments != nil && s.Segments[row] != segment {
				segment = s.Segments[row]
				clear(h)
			}
			for c := range s.Channels {
				at := row*s.Channels + c
				for n := range s.State {
					i := c*s.State + n
					h[i] = math.Exp(s.Delta[at]*s.A[i])*h[i] + s.Delta[at]*s.X[at]*s.B[row*s.State+n]
					y[at] += h[i] * s.C[row*s.State+n]
				}
			}
			if watch != nil {
				watch(b, t, h)
			}
		}
	}
	return y, state
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Channels < 1 || d.State < 1 {
		return fmt.Errorf("selectivescan: dims %+v: all must be positive", d)
	}
	rows := d.Batch * d.Tokens
	for _, f := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"x", len(s.X), rows * d.Channels, false},
		{"delta", len(s.Delta), rows * d.Channels, false},
		{"A", len(s.A), d.Channels * d.State, false},
		{"B", len(s.B), rows * d.State, false},
		{"C", len(s.C), rows * d.State, false},
		{"initial", len(s.Initial), d.Batch * d.Channels * d.State, true},
		{"segments", len(s.Segments), rows, true},
	} {
		if f.got != f.want && !(f.optional && f.got == 0) {
			return fmt.Errorf("selectivescan: %s has %d entries, dims %+v need %d", f.name, f.got, d, f.want)
		}
	}
	return nil
}
