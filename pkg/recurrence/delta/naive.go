// Package delta is the recurrence that erases one direction of its state at every token, per head with S ∈ R^{K×V}:
//
//	S_t = diag(w_t) S_{t−1} − e_t (r_tᵀ S_{t−1}) + k_t v_tᵀ      y_t = S_tᵀ q_t
//
// It is the form of RWKV-7 (arXiv 2503.14456, section 4: r = κ̂, e = κ̂ ⊙ a). The delta rule (arXiv 2406.06484), Gated
// DeltaNet (2412.06464, equation 10) and Kimi Delta Attention (2510.26692) are the case e = βk, r = w ⊙ k, with w one, a
// number per head or one per key channel: see [Rule]. It is written three times: [Naive] is the definition in float64, [Chunk] the
// parallel graph, [Step] one token.
package delta

import (
	"fmt"
	"math"
)

// Dims are the sizes of one call.
type Dims struct {
	Batch, Tokens, Heads, Key, Value int
}

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	Q, K     []float64 // [batch, tokens, heads, key]
	V        []float64 // [batch, tokens, heads, value]
	LogDecay []float64 // log w ≤ 0: [batch, tokens, heads, key], [batch, tokens, heads], or nil for no decay
	Erase    []float64 // e [batch, tokens, heads, key]
	Read     []float64 // r [batch, tokens, heads, key]
	Initial  []float64 // [batch, heads, key, value] or nil for zeros
	Segments []int     // [batch, tokens] or nil; the state restarts where the segment changes, 0 continues Initial
}

// Naive runs the definition token by token and returns y [batch, tokens, heads, value] and the last state
// [batch, heads, key, value]. watch, if not nil, sees the state of every head after every token.
func Naive(s Sequence, watch func(batch, token, head int, state []float64)) (y, state []float64) {
	y = make([]float64, len(s.V))
	state = make([]float64, s.Batch*s.Heads*s.Key*s.Value)
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
				h := state[(b*s.Heads+j)*s.Key*s.Value:][:s.Key*s.Value]
				if restart {
					clear(h)
				}
				at := row*s.Heads + j
				s.token(at, h, y[at*s.Value:][:s.Value])
				if watch != nil {
					watch(b, t, j, h)
				}
			}
		}
	}
	return y, state
}

// token moves the state h [key, value] of one head by one token and reads y [value] from it.
func (s Sequence) token(at int, h, y []float64) {
	of := func(x []float64) []float64 { return x[at*s.Key:][:s.Key] }
	q, k, e, r, v := of(s.Q), of(s.K), of(s.Erase), of(s.Read), s.V[at*s.Value:][:s.Value]
	for c := range s.Value {
		read := 0.0
		for i := range s.Key {
			read += r[i] * h[i*s.Value+c]
		}
		sum := 0.0
		for i := range s.Key {
			x := &h[i*s.Value+c]
			*x = s.decay(at, i)**x - e[i]*read + k[i]*v[c]
			sum += q[i] * *x
		}
		y[c] = sum
	}
}

// decay is w of key channel i.
func (s Sequence) decay(at, i int) float64 {
	switch len(s.LogDecay) {
	case 0:
		return 1
	case len(s.Q):
		return math.Exp(s.LogDecay[at*s.Key+i])
	}
	return math.Exp(s.LogDecay[at])
}

// Validate checks sizes and lengths; the error names the field.
func (s Sequence) Validate() error {
	d := s.Dims
	if d.Batch < 1 || d.Tokens < 0 || d.Heads < 1 || d.Key < 1 || d.Value < 1 {
		return fmt.Errorf("delta: dims %+v: all must be positive", d)
	}
	rows := d.Batch * d.Tokens
	for _, f := range []struct {
		name string
		got  int
		want []int
	}{
		{"q", len(s.Q), []int{rows * d.Heads * d.Key}},
		{"k", len(s.K), []int{rows * d.Heads * d.Key}},
		{"v", len(s.V), []int{rows * d.Heads * d.Value}},
		{"log decay", len(s.LogDecay), []int{rows * d.Heads * d.Key, rows * d.Heads, 0}},
		{"erase", len(s.Erase), []int{rows * d.Heads * d.Key}},
		{"read", len(s.Read), []int{rows * d.Heads * d.Key}},
		{"initial", len(s.Initial), []int{d.Batch * d.Heads * d.Key * d.Value, 0}},
		{"segments", len(s.Segments), []int{rows, 0}},
	} {
		ok := false
		for _, n := range f.want {
			ok = ok || f.got == n
		}
		if !ok {
			return fmt.Errorf("delta: %s has %d entries, dims %+v need %v", f.name, f.got, d, f.want)
		}
	}
	return nil
}
