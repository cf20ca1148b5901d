package recurrence

import "math"

// NaiveWindow is the definition of the sliding window in float64, summed anew for every token: y [batch, tokens, heads,
// headDim] and the last windowed state [batch, heads, headDim, state]. Initial and Segments are not looked at.
func NaiveWindow(s Sequence, r int) (y, state []float64) {
	y = make([]float64, len(s.X))
	size := s.HeadDim * s.State
	state = make([]float64, s.Batch*s.Heads*size)
	for b := range s.Batch {
		for j := range s.Heads {
			h := state[(b*s.Heads+j)*size:][:size]
			for t := range s.Tokens {
				clear(h)
				decay := 0.0 // log s(i, t)
				for i := t; i > t-r && i >= 0; i-- {
					row := b*s.Tokens + i
					bt := s.B[(row*s.Groups+j/(s.Heads/s.Groups))*s.State:][:s.State]
					x := s.X[(row*s.Heads+j)*s.HeadDim:][:s.HeadDim]
					delta := s.Delta[row*s.Heads+j]
					weight := math.Exp(decay) * delta
					for p := range x {
						for n := range bt {
							h[p*s.State+n] += weight * x[p] * bt[n]
						}
					}
					decay += delta * s.A[j]
				}
				s.read(y, b, t, j, h)
			}
		}
	}
	return y, state
}

// NaiveLimited is the recurrence with the state of every head scaled to at most limit [heads] in Frobenius norm after
// every so many tokens and after the last, in float64; see [NormLimit].
func NaiveLimited(s Sequence, limit []float64, every int) (y, state []float64) {
	y = make([]float64, len(s.X))
	size := s.HeadDim * s.State
	state = make([]float64, s.Batch*s.Heads*size)
	copy(state, s.Initial)
	for b := range s.Batch {
		for j := range s.Heads {
			h := state[(b*s.Heads+j)*size:][:size]
			for t := range s.Tokens {
				row := b*s.Tokens + t
				bt := s.B[(row*s.Groups+j/(s.Heads/s.Groups))*s.State:][:s.State]
				x := s.X[(row*s.Heads+j)*s.HeadDim:][:s.HeadDim]
				delta := s.Delta[row*s.Heads+j]
				alpha := math.Exp(delta * s.A[j])
				norm := 0.0
				for p := range x {
					for n := range bt {
						v := alpha*h[p*s.State+n] + delta*x[p]*bt[n]
						h[p*s.State+n] = v
						norm += v * v
					}
				}
				scale := min(1, limit[j]/math.Sqrt(norm))
				due := (t+1)%every == 0 || t == s.Tokens-1
				if every == 1 && scale < 1 { // read after the scaling
					rescaleAll(h, scale)
				}
				s.read(y, b, t, j, h)
				if every > 1 && due && scale < 1 {
					rescaleAll(h, scale)
				}
			}
		}
	}
	return y, state
}

func rescaleAll(h []float64, scale float64) {
	for i := range h {
		h[i] *= scale
	}
}

// read is y_t = h C_t + D x_t of one head.
func (s Sequence) read(y []float64, b, t, j int, h []float64) {
	row := b*s.Tokens + t
	ct := s.C[(row*s.Groups+j/(s.Heads/s.Groups))*s.State:][:s.State]
	for p := range s.HeadDim {
		i := (row*s.Heads+j)*s.HeadDim + p
		for n := range ct {
			y[i] += h[p*s.State+n] * ct[n]
		}
		if s.D != nil {
			y[i] += s.D[j] * s.X[i]
		}
	}
}
