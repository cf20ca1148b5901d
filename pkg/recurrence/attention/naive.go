// Package attention is causal softmax attention with a cache (arXiv 1706.03762, section 3.2; shared keys and values,
// 2305.13245): the memory that grows, beside the recurrences whose state does not. Per head, with q already scaled,
//
//	y_t = Σ_{j≤t} p_tj v_j      p_t = softmax_j(q_t·k_j)
//
// over the tokens in the cache and those of the call, or with a window of r (2004.05150) over j > t − r alone: a cache of r tokens. Query head h reads key-value head h / (heads/kvHeads). It is written four times:
// [Naive] is the definition in float64, [Chunk] the graph over blocks of queries and, by kernels, the call in bfloat16 on an NVIDIA GPU,
// [Step] one token.
package attention

import "math"

// Dims are the sizes of one call.
type Dims struct {
	Batch, Tokens, Heads, KVHeads, Key, Value int
}

// Sequence is the input of Naive, flat and row-major.
type Sequence struct {
	Dims
	Q            []float64 // [batch, tokens, heads, key], scaled
	K            []float64 // [batch, tokens, kvHeads, key]
	V            []float64 // [batch, tokens, kvHeads, value]
	Held         []int     // [batch] or nil for none: tokens in the cache
	Keys, Values []float64 // the cache [batch, room, kvHeads, key or value] or nil, of which a row's first Held tokens count
	Room         int
	Segments     []int // [batch, tokens] or nil; the cache is emptied where the segment changes, 0 continues it
	Window       int   // last tokens that a query sees, its own among them; 0: all
}

// Rows are what one sequence holds in the end, [tokens, kvHeads, key or value].
type Rows struct{ Keys, Values []float64 }

// Naive runs the definition token by token and returns y [batch, tokens, heads, value] and the cache of each row.
func Naive(s Sequence) (y []float64, caches []Rows) {
	wide, wideV := s.KVHeads*s.Key, s.KVHeads*s.Value
	y = make([]float64, s.Batch*s.Tokens*s.Heads*s.Value)
	for b := range s.Batch {
		var c Rows
		if s.Held != nil {
			c.Keys = append(c.Keys, s.Keys[b*s.Room*wide:][:s.Held[b]*wide]...)
			c.Values = append(c.Values, s.Values[b*s.Room*wideV:][:s.Held[b]*wideV]...)
		}
		segment := 0
		for t := range s.Tokens {
			row := b*s.Tokens + t
			if s.Segments != nil && s.Segments[row] != segment {
				segment, c = s.Segments[row], Rows{}
			}
			c.Keys = append(c.Keys, s.K[row*wide:][:wide]...)
			c.Values = append(c.Values, s.V[row*wideV:][:wideV]...)
			for h := range s.Heads {
				at := row*s.Heads + h
				s.read(c, h/(s.Heads/s.KVHeads), s.Q[at*s.Key:][:s.Key], y[at*s.Value:][:s.Value])
			}
		}
		caches = append(caches, c)
	}
	return y, caches
}

// read adds to y what query q reads of key-value head h.
func (s Sequence) read(c Rows, h int, q, y []float64) {
	n, first := len(c.Keys)/(s.KVHeads*s.Key), 0
	if s.Window > 0 {
		first = max(0, n-s.Window)
	}
	scores, top := make([]float64, n), math.Inf(-1)
	for j := first; j < n; j++ {
		for i := range s.Key {
			scores[j] += q[i] * c.Keys[(j*s.KVHeads+h)*s.Key+i]
		}
		top = max(top, scores[j])
	}
	sum := 0.0
	for j := first; j < n; j++ {
		scores[j] = math.Exp(scores[j] - top)
		sum += scores[j]
	}
	for j := first; j < n; j++ {
		for i := range s.Value {
			y[i] += scores[j] / sum * c.Values[(j*s.KVHeads+h)*s.Value+i]
		}
	}
}

// NaiveRotate is [Rotate] of one vector in place.
func NaiveRotate(x []float64, position float64, rotated int, theta float64) {
	half := rotated / 2
	for i := range half {
		sin, cos := math.Sincos(position * math.Pow(theta, -2*float64(i)/float64(rotated)))
		a, b := x[i], x[i+half]
		x[i], x[i+half] = a*cos-b*sin, b*cos+a*sin
	}
}
