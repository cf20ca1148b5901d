package attention_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/recurrence/internal/optest"
)

// random makes a call whose rows hold 0, 1, 2 … tokens in a cache with room for the call's, or no cache.
func random(seed uint64, d attention.Dims, cached bool) attention.Sequence {
	r := rand.New(rand.NewPCG(seed, 3))
	normal := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}
	tokens := d.Batch * d.Tokens
	s := attention.Sequence{Dims: d, Q: normal(tokens * d.Heads * d.Key), K: normal(tokens * d.KVHeads * d.Key), V: normal(tokens * d.KVHeads * d.Value)}
	if cached {
		s.Room = d.Tokens + 5
		s.Keys, s.Values = normal(d.Batch*s.Room*d.KVHeads*d.Key), normal(d.Batch*s.Room*d.KVHeads*d.Value)
		for b := range d.Batch {
			s.Held = append(s.Held, 3*b%6)
		}
	}
	return s
}

// arguments in the order q, k, v, (keys, values, held,) (segments).
func arguments[T float32 | float64](s attention.Sequence) []any {
	tensor := func(v []float64, dims ...int) any {
		out := make([]T, len(v))
		for i := range v {
			out[i] = T(v[i])
		}
		return tensors.FromFlatDataAndDimensions(out, dims...)
	}
	ints := func(v []int, dims ...int) any {
		var out []int32
		for _, x := range v {
			out = append(out, int32(x))
		}
		return tensors.FromFlatDataAndDimensions(out, dims...)
	}
	args := []any{tensor(s.Q, s.Batch, s.Tokens, s.Heads, s.Key), tensor(s.K, s.Batch, s.Tokens, s.KVHeads, s.Key), tensor(s.V, s.Batch, s.Tokens, s.KVHeads, s.Value)}
	if s.Held != nil {
		args = append(args, tensor(s.Keys, s.Batch, s.Room, s.KVHeads, s.Key), tensor(s.Values, s.Batch, s.Room, s.KVHeads, s.Value), ints(s.Held, s.Batch))
	}
	if s.Segments != nil {
		args = append(args, ints(s.Segments, s.Batch, s.Tokens))
	}
	return args
}

func operands(s attention.Sequence, in []*Node) attention.Operands {
	op := attention.Operands{Q: in[0], K: in[1], V: in[2], Window: s.Window}
	in = in[3:]
	if s.Held != nil {
		op.Cache, in = &attention.Cache{Keys: in[0], Values: in[1], Held: in[2]}, in[3:]
	}
	if s.Segments != nil {
		op.Segments = in[0]
	}
	return op
}

// stepwise runs Step over the tokens.
func stepwise(op attention.Operands) attention.Result {
	var ys []*Node
	for t := range op.Q.Shape().Dim(1) {
		one := piece(op, t, t+1)
		r := attention.Step(one)
		ys, op.Cache = append(ys, r.Y), r.Cache
	}
	return attention.Result{Y: Concatenate(ys, 1), Cache: op.Cache}
}

// piece is the call on tokens from…to.
func piece(op attention.Operands, from, to int) attention.Operands {
	for _, n := range []**Node{&op.Q, &op.K, &op.V, &op.Segments} {
		if *n != nil {
			*n = SliceAxis(*n, 1, AxisRange(from, to))
		}
	}
	return op
}

// outputs are y and, with a cache, its keys, values and count.
func outputs(r attention.Result) []*Node {
	if r.Cache == nil {
		return []*Node{r.Y}
	}
	return []*Node{r.Y, r.Cache.Keys, r.Cache.Values, r.Cache.Held}
}

// check compares outputs with Naive: of a cache, the tokens it holds.
func check(t *testing.T, name string, s attention.Sequence, got [][]float64, rel float64) {
	t.Helper()
	y, caches := attention.Naive(s)
	optest.Near(t, name+": y", got[0], y, rel)
	if s.Held == nil {
		return
	}
	wide, wideV := s.KVHeads*s.Key, s.KVHeads*s.Value
	for b, c := range caches {
		if held := len(c.Keys) / wide; int(got[3][b]) != held {
			t.Fatalf("%s: row %d holds %g tokens, want %d", name, b, got[3][b], held)
		}
		optest.Near(t, name+": keys", got[1][b*s.Room*wide:][:len(c.Keys)], c.Keys, rel)
		optest.Near(t, name+": values", got[2][b*s.Room*wideV:][:len(c.Values)], c.Values, rel)
	}
}

// TestFormsEqualNaive: lengths on both sides of the block size, shared and own keys, caches of several fillings.
func TestFormsEqualNaive(t *testing.T) {
	for _, tokens := range []int{1, 7, 8, 9, 17, 40} {
		for _, kv := range []int{1, 2, 4} {
			for _, cached := range []bool{false, true} {
				s := random(uint64(tokens), attention.Dims{Batch: 3, Tokens: tokens, Heads: 4, KVHeads: kv, Key: 5, Value: 3}, cached)
				for _, q := range []int{8, 64} {
					for _, dev := range optest.Devices(t) {
						if dev.Kind != "go" && !(kv == 2 && tokens == 17) {
							continue
						}
						name := fmt.Sprintf("%s T %d, Q %d, %d kv heads, cache %v", dev.Kind, tokens, q, kv, cached)
						graph := func(in []*Node) []*Node {
							op := operands(s, in)
							op.Infer = true
							return outputs(attention.Chunk(op, q))
						}
						check(t, name, s, optest.Run(t, dev, graph, arguments[float64](s)...), 1e-13)
						check(t, name+" in float32", s, optest.Run(t, dev, graph, arguments[float32](s)...), 1e-5)
					}
				}
				if cached && tokens < 10 {
					graph := func(in []*Node) []*Node { return outputs(stepwise(operands(s, in))) }
					check(t, fmt.Sprintf("step T %d, %d kv heads", tokens, kv), s, optest.Run(t, optest.Devices(t)[0], graph, arguments[float64](s)...), 1e-13)
				}
			}
		}
	}
}

// TestWindowEqualsNaive: windows of one token to more than there are, with caches of several fillings, packed documents, and by Step.
func TestWindowEqualsNaive(t *testing.T) {
	for _, window := range []int{1, 2, 7, 16, 40, 100} {
		for _, cached := range []bool{false, true} {
			for _, packed := range []bool{false, true} {
				s := random(uint64(window), attention.Dims{Batch: 3, Tokens: 24, Heads: 4, KVHeads: 2, Key: 5, Value: 3}, cached)
				s.Window = window
				if packed {
					s.Segments = make([]int, s.Batch*s.Tokens)
					for i := range s.Segments {
						s.Segments[i] = i % s.Tokens / 10
					}
				}
				for _, dev := range optest.Devices(t) {
					got := optest.Run(t, dev, func(in []*Node) []*Node { return outputs(attention.Chunk(operands(s, in), 8)) }, arguments[float64](s)...)
					check(t, fmt.Sprintf("%s, window %d, cache %v, documents %v", dev.Kind, window, cached, packed), s, got, 1e-13)
				}
				if cached && !packed {
					got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node { return outputs(stepwise(operands(s, in))) }, arguments[float64](s)...)
					check(t, fmt.Sprintf("step, window %d", window), s, got, 1e-13)
				}
			}
		}
	}
}

// TestSplitsDoNotMatter carries the cache over 20 random partitions, with pieces of one token by Step and by Chunk.
func TestSplitsDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for trial := range 20 {
		s := random(uint64(trial), attention.Dims{Batch: 2, Tokens: 60, Heads: 4, KVHeads: 2, Key: 4, Value: 3}, true)
		s.Window = trial % 4 * 9
		cuts := []int{0}
		for cuts[len(cuts)-1] < s.Tokens {
			cuts = append(cuts, min(s.Tokens, cuts[len(cuts)-1]+[]int{1, 1 + r.IntN(30)}[r.IntN(2)]))
		}
		got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
			op := operands(s, in)
			var ys []*Node
			for i := 1; i < len(cuts); i++ {
				part := piece(op, cuts[i-1], cuts[i])
				result := attention.Chunk(part, 16)
				if cuts[i] == cuts[i-1]+1 && i%2 == 0 {
					result = attention.Step(part)
				}
				ys, op.Cache = append(ys, result.Y), result.Cache
			}
			return outputs(attention.Result{Y: Concatenate(ys, 1), Cache: op.Cache})
		}, arguments[float64](s)...)
		check(t, fmt.Sprint("partition ", trial, cuts), s, got, 1e-13)
	}
}

// TestSegmentsEmptyTheCache packs documents, of one token too; the first goes on from the cache, or does not.
func TestSegmentsEmptyTheCache(t *testing.T) {
	for _, bounds := range [][]int{{5, 6, 16, 33}, {0, 1, 15, 39}, {}} {
		s := random(12, attention.Dims{Batch: 2, Tokens: 40, Heads: 2, KVHeads: 1, Key: 4, Value: 3}, true)
		s.Segments = make([]int, s.Batch*s.Tokens)
		for i := range s.Segments {
			for _, b := range bounds {
				if i%s.Tokens >= b {
					s.Segments[i]++
				}
			}
		}
		for _, dev := range optest.Devices(t) {
			got := optest.Run(t, dev, func(in []*Node) []*Node {
				op := operands(s, in)
				op.Infer = true
				return append(outputs(attention.Chunk(op, 16)), attention.Positions(in[0].Graph(), s.Batch, s.Tokens, op.Cache.Held, op.Segments))
			}, arguments[float64](s)...)
			check(t, fmt.Sprint(dev.Kind, bounds), s, got, 1e-13)
			var positions []float64
			for b := range s.Batch {
				at := s.Held[b]
				for i := range s.Tokens {
					if row := b*s.Tokens + i; i == 0 && s.Segments[row] != 0 || i > 0 && s.Segments[row] != s.Segments[row-1] {
						at = 0
					}
					positions, at = append(positions, float64(at)), at+1
				}
			}
			optest.Near(t, fmt.Sprint("positions ", bounds), got[4], positions, 0)
		}
	}
}

// TestPaddingLeavesTheCacheAlone: tokens from Length on are not kept.
func TestPaddingLeavesTheCacheAlone(t *testing.T) {
	s := random(13, attention.Dims{Batch: 2, Tokens: 20, Heads: 2, KVHeads: 1, Key: 4, Value: 3}, true)
	for _, length := range []int{0, 1, 13, 20} {
		for _, packed := range []bool{false, true} {
			s.Segments = nil
			if packed {
				s.Segments = make([]int, s.Batch*s.Tokens)
				for i := range s.Segments {
					s.Segments[i] = i % s.Tokens / 6
				}
			}
			args := append(arguments[float64](s), int32(length))
			short := func(in []*Node) []*Node {
				op := operands(s, in)
				op.Length = in[len(in)-1]
				long := attention.Chunk(op, 16)
				op.Length = nil
				if length > 0 {
					return append(outputs(long)[1:], outputs(attention.Chunk(piece(op, 0, length), 16))[1:]...)
				}
				return append(outputs(long)[1:], op.Cache.Keys, op.Cache.Values, op.Cache.Held)
			}
			got := optest.Run(t, optest.Devices(t)[0], short, args...)
			for i, name := range []string{"keys", "values", "held"} {
				optest.Near(t, fmt.Sprintf("%s of length %d, packed %v", name, length, packed), got[i], got[3+i], 0)
			}
		}
	}
}
