// Package vectorgate is the linear recurrence whose decay is a vector over keys, per head with state S ∈ R^{K×V}:
//
//	S_t = diag(e^{g_t}) S_{t−1} + k_t v_tᵀ
//	y_t = S_tᵀ q_t                                  GLA (arXiv 2312.06635), HGRN-2 (arXiv 2404.07904)
//	y_t = (S_{t−1} + diag(u) k_t v_tᵀ)ᵀ q_t         RWKV-5 and RWKV-6 (arXiv 2404.05892): read before the write, with a bonus u
//
// It is written three times: [Naive] is the definition in float64, [Chunk] the parallel graph, [Step] one token.
package vectorgate

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
	LogDecay []float64 // [batch, tokens, heads, keys], not positive
	Bonus    []float64 // [heads, keys] or nil; with it y reads before the write
	Initial  []float64 // [batch, heads, keys, values] or nil for zeros
	Segments []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues Initial
}

// Naive runs the definition token by token and returns y [batch, tokens, heads, values] and the last state
// [batch, heads, keys, values]. watch, if not nil, sees the state of every head after every token.
func Naive(s Sequence, watch func(batch, token, head int, state []float64)) (y, state []float64) {
	y = make([]float64, len(s.V))
	state = make([]float64, s.Batch*s.Heads*s.Keys*s.Values)
	copy(state, s.Initial)
	for b := range s.Batch {
		segment := 0
		for t := range s.Tokens {
			row := b*s.Tokens + t
			restart := s.Segments != nil && s.Segments[row] != segment
			if restart {
				segment = s.Segments[row]
			}
			for h := range s.Heads {
				own := state[(b*s.Heads+h)*s.Keys*s.Values:][:s.Keys*s.Values]
				if restart {
					clear(own)
				}
				s.token(row*s.Heads+h, h, own, y)
				if watch != nil {
					watch(b, t, h, own)
				}
			}
		}
	}
	return y, state
}

// token is one token of one head; at counts heads of all tokens.
func (s Sequence) token(at, head int, state, y []float64) {
	v, out := s.V[at*s.Values:][:s.Values], y[at*s.Values:][:s.Values]
	for i := range s.Keys {
		q, k, decay := s.Q[at*s.Keys+i], s.K[at*s.Keys+i], math.Exp(s.LogDecay[at*s.Keys+i])
		for j := range s.Values {
			before, write := state[i*s.Values+j], k*v[j]
			state[i*s.Values+j] = decay*before + write
			if s.Bonus != nil {
				out[j] += q * (before + s.Bonus[head*s.Keys+i]*write)
			} else {
				out[j] += q * state[i*s.Values+j]
			}
		}
	}
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Heads < 1 || d.Keys < 1 || d.Values < 1 {
		return fmt.Errorf("vectorgate: dims %+v: all must be positive", d)
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
		{"log decay", len(s.LogDecay), heads * d.Keys, false},
		{"bonus", len(s.Bonus), d.Heads * d.Keys, true},
		{"initial", len(s.Initial), d.Batch * d.Heads * d.Keys * d.Values, true},
		{"segments", len(s.Segments), d.Batch * d.Tokens, true},
	} {
		if f.got != f.want && !(f.optional && f.got == 0) {
			return fmt.Errorf("vectorgate: %s has %d entries, dims %+v need %d", f.name, f.got, d, f.want)
		}
	}
	return nil
}
