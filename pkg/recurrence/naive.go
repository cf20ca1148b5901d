// Package recurrence is the state-space dual operator of Mamba-2 (arXiv 2405.21060; Stuffed Mamba, arXiv 2410.07145,
// section 2), per head with state h ∈ R^{P×N}:
//
//	α_t = exp(Δ_t A)      h_t = α_t h_{t−1} + Δ_t x_t B_tᵀ      y_t = h_t C_t + D x_t
//
// It is written three times: [Naive] is the definition in float64, [Chunk] the parallel graph, [Step] one token. A state goes in and
// comes out of each; [Result.Moments] adds exact statistics of every h_t without forming it.
package recurrence

import (
	"fmt"
	"math"
)

// Dims are the sizes of one call. Head j reads B and C of group j / (Heads/Groups).
type Dims struct {
	Batch, Tokens, Heads, HeadDim, Groups, State int
}

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	X        []float64 // [batch, tokens, heads, headDim]
	Delta    []float64 // [batch, tokens, heads], see Delta for raw values
	A        []float64 // [heads], negative
	B, C     []float64 // [batch, tokens, groups, state]
	D        []float64 // [heads] or nil
	Initial  []float64 // [batch, heads, headDim, state] or nil for zeros
	Segments []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues Initial
}

// Naive runs the definition token by token and returns y [batch, tokens, heads, headDim] and the last state
// [batch, heads, headDim, state]. watch, if not nil, sees the state of every head after every token.
func Naive(s Sequence, watch func(batch, token, head int, h []float64)) (y, state []float64) {
	y = make([]float64, len(s.X))
	state = make([]float64, s.Batch*s.Heads*s.HeadDim*s.State)
	copy(state, s.Initial)
	for b := range s.Batch {
		segment := 0
		for t := range s.Tokens {
			row := b*s.Tokens + t
			restart := s.Segments != nil && s.Segments[row] != segment
			if restart {
				segment = s.Segments[row]
			}
			for j := range s.Heads {
				h := state[(b*s.Heads+j)*s.HeadDim*s.State:][:s.HeadDim*s.State]
				if restart {
					clear(h)
				}
				group := (row*s.Groups + j/(s.Heads/s.Groups)) * s.State
				bt, ct := s.B[group:][:s.State], s.C[group:][:s.State]
				delta := s.Delta[row*s.Heads+j]
				alpha := math.Exp(delta * s.A[j])
				for p := range s.HeadDim {
					i := (row*s.Heads+j)*s.HeadDim + p
					sum := 0.0
					for n := range s.State {
						h[p*s.State+n] = alpha*h[p*s.State+n] + delta*s.X[i]*bt[n]
						sum += h[p*s.State+n] * ct[n]
					}
					if s.D != nil {
						sum += s.D[j] * s.X[i]
					}
					y[i] = sum
				}
				if watch != nil {
					watch(b, t, j, h)
				}
			}
		}
	}
	return y, state
}

// NaiveDelta is Δ = clamp(softplus(dt + bias), lo, hi) for dt [rows, heads] and bias [heads].
func NaiveDelta(dt, bias []float64, lo, hi float64) []float64 {
	out := make([]float64, len(dt))
	for i, v := range dt {
		v += bias[i%len(bias)]
		softplus := math.Max(v, 0) + math.Log1p(math.Exp(-math.Abs(v)))
		out[i] = math.Min(math.Max(softplus, lo), hi)
	}
	return out
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Heads < 1 || d.HeadDim < 1 || d.Groups < 1 || d.State < 1 || d.Heads%d.Groups != 0 {
		return fmt.Errorf("recurrence: dims %+v: all must be positive and groups must divide heads", d)
	}
	rows := d.Batch * d.Tokens
	for _, f := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"x", len(s.X), rows * d.Heads * d.HeadDim, false},
		{"delta", len(s.Delta), rows * d.Heads, false},
		{"A", len(s.A), d.Heads, false},
		{"B", len(s.B), rows * d.Groups * d.State, false},
		{"C", len(s.C), rows * d.Groups * d.State, false},
		{"D", len(s.D), d.Heads, true},
		{"initial", len(s.Initial), d.Batch * d.Heads * d.HeadDim * d.State, true},
		{"segments", len(s.Segments), rows, true},
	} {
		if f.got != f.want && !(f.optional && f.got == 0) {
			return fmt.Errorf("recurrence: %s has %d entries, dims %+v need %d", f.name, f.got, d, f.want)
		}
	}
	return nil
}
