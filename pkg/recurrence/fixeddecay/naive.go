package fixeddecay

import (
	"fmt"
	"math"
)

// Dims are the sizes of one call; Keys and Values are those of a head.
type Dims struct {
	Batch, Tokens, Heads, Keys, Values int
}

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	Q, K     []float64 // [batch, tokens, heads, keys]
	V        []float64 // [batch, tokens, heads, values]
	LogDecay []float64 // [heads], not positive
	Initial  []float64 // [batch, heads, keys, values] or nil for zeros
	Segments []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues Initial
}

// Naive runs the definition token by token and returns y [batch, tokens, heads, values] and the last state [batch,
// heads, keys, values]. watch, if not nil, sees the state of every head after every token.
func Naive(s Sequence, watch func(batch, token, head int, state []float64)) (y, state []float64) {
	y = make([]float64, len(s.V))
	size := s.Keys * s.Values
	state = make([]float64, s.Batch*s.Heads*size)
	copy(state, s.Initial)
	for b := range s.Batch {
		own := state[b*s.Heads*size:][:s.Heads*size]
		segment := 0
		for t := range s.Tokens {
			if s.Segments != nil && s.Segments[b*s.Tokens+t] != segment {
				segment = s.Segments[b*s.Tokens+t]
				clear(own)
			}
			for h := range s.Heads {
				at := (b*s.Tokens+t)*s.Heads + h
				for i := range size {
					k, v := i/s.Values, i%s.Values
					x := &own[h*size+i]
					*x = math.Exp(s.LogDecay[h])*(*x) + s.K[at*s.Keys+k]*s.V[at*s.Values+v]
					y[at*s.Values+v] += *x * s.Q[at*s.Keys+k]
				}
				if watch != nil {
					watch(b, t, h, own[h*size:][:size])
				}
			}
		}
	}
	return y, state
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Heads < 1 || d.Keys < 1 || d.Values < 1 {
		return fmt.Errorf("fixeddecay: dims %+v: all must be positive", d)
	}
	heads := d.Batch * d.Tokens * d.Heads
	for _, f := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"q", len(s.Q), heads * d.Keys, false},
		{"k", len(s.K), heads * d.Keys, false},
		{"v", len(s.V), heads * d.Values, false},
		{"log decay", len(s.LogDecay), d.Heads, false},
		{"initial", len(s.Initial), d.Batch * d.Heads * d.Keys * d.Values, true},
		{"segments", len(s.Segments), d.Batch * d.Tokens, true},
	} {
		if f.got != f.want && !(f.optional && f.got == 0) {
			return fmt.Errorf("fixeddecay: %s has %d entries, dims %+v need %d", f.name, f.got, d, f.want)
		}
	}
	return nil
}
