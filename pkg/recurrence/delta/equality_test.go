package delta_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestFormsEqualNaive: lengths on both sides of every chunk size, every kind of decay and of erasure, in float64 and
// float32 on the Go backend; a sample through XLA.
func TestFormsEqualNaive(t *testing.T) {
	for _, tokens := range []int{1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 130} {
		for _, gate := range gates {
			for _, erasure := range erasures {
				c := random(uint64(tokens), delta.Dims{Batch: 1 + tokens%2, Tokens: tokens, Heads: 2, Key: 5, Value: 3}, gate, erasure, -0.4, 0)
				if tokens == 16 {
					c.initial = nil
				}
				y, state := delta.Naive(c.sequence(), nil)
				for _, f := range forms {
					for _, q := range f.chunks {
						if f.name == "chunk" && (q < tokens/8 || q > 4*tokens && q > 4) {
							continue
						}
						name := fmt.Sprintf("%s: T %d, Q %d, %s, %s", f.name, tokens, q, gate, erasure)
						for _, dev := range optest.Devices(t) {
							compiled := tokens == 65 && q == 16 && gate == "per channel" || tokens == 17 && f.name == "step" && gate == "per head"
							if dev.Kind != "go" && !(compiled && erasure == "delta rule") {
								continue
							}
							graph := func(names []string) func(in []*Node) []*Node {
								return func(in []*Node) []*Node {
									op := operands(names, in)
									op.Infer = true
									y, h := f.run(op, q)
									return []*Node{y, h}
								}
							}
							names, args := inputs[float64](c)
							got := optest.Run(t, dev, graph(names), args...)
							optest.Near(t, dev.Kind+" "+name+": y", got[0], y, 1e-12)
							optest.Near(t, dev.Kind+" "+name+": state", got[1], state, 1e-12)
							if tokens < 63 {
								continue
							}
							names, args = inputs[float32](c)
							got = optest.Run(t, dev, graph(names), args...)
							optest.Near(t, dev.Kind+" "+name+": y in float32", got[0], y, 1e-5)
							optest.Near(t, dev.Kind+" "+name+": state in float32", got[1], state, 1e-5)
						}
					}
				}
			}
		}
	}
}

// TestSplitsDoNotMatter carries the state over 20 random partitions, with pieces of one token.
func TestSplitsDoNotMatter(t *testing.T) {
	d := delta.Dims{Batch: 2, Tokens: 150, Heads: 2, Key: 4, Value: 3}
	r := rand.New(rand.NewPCG(5, 5))
	for trial := range 20 {
		c := random(uint64(trial), d, gates[trial%3], erasures[trial%2], -0.3, 0)
		y, state := delta.Naive(c.sequence(), nil)
		cuts := []int{0}
		for cuts[len(cuts)-1] < d.Tokens {
			cuts = append(cuts, min(d.Tokens, cuts[len(cuts)-1]+[]int{1, 1 + r.IntN(60)}[r.IntN(2)]))
		}
		names, args := inputs[float64](c)
		got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
			op := operands(names, in)
			h := op.Initial
			var ys []*Node
			for i := 1; i < len(cuts); i++ {
				f := forms[0]
				if cuts[i] == cuts[i-1]+1 {
					f = forms[1]
				}
				part := piece(op, cuts[i-1], cuts[i])
				part.Initial = h
				var y *Node
				y, h = f.run(part, 16)
				ys = append(ys, y)
			}
			return []*Node{Concatenate(ys, 1), h}
		}, args...)
		optest.Near(t, fmt.Sprint("y of partition ", trial, cuts), got[0], y, 1e-12)
		optest.Near(t, fmt.Sprint("state of partition ", trial, cuts), got[1], state, 1e-12)
	}
}

// piece is the call on tokens from…to.
func piece(op delta.Operands, from, to int) delta.Operands {
	same := op.Erase == op.K
	for _, n := range []**Node{&op.Q, &op.K, &op.V, &op.LogDecay, &op.Erase, &op.Read, &op.Segments} {
		if *n != nil {
			*n = SliceAxis(*n, 1, AxisRange(from, to))
		}
	}
	if same {
		op.Erase = op.K
	}
	return op
}

// TestSegmentsRestartTheState packs documents, of one token too, with boundaries on, before and after those of chunks.
func TestSegmentsRestartTheState(t *testing.T) {
	d := delta.Dims{Batch: 1, Tokens: 90, Heads: 2, Key: 4, Value: 3}
	for trial, bounds := range [][]int{{5, 6, 32, 33, 64, 80}, {0, 1, 31, 89}, {16, 48}} {
		for i, gate := range gates {
			c := random(12, d, gate, erasures[(i+trial)%2], -0.3, 0)
			c.segments = make([]int32, d.Tokens)
			for at := range c.segments {
				for _, b := range bounds {
					if at >= b {
						c.segments[at]++
					}
				}
			}
			y, state := delta.Naive(c.sequence(), nil)
			for _, dev := range optest.Devices(t) {
				names, args := inputs[float64](c)
				for _, f := range forms {
					if dev.Kind != "go" && (trial > 0 || gate != "per channel") {
						continue
					}
					got := optest.Run(t, dev, func(in []*Node) []*Node {
						op := operands(names, in)
						op.Infer = true
						y, h := f.run(op, 16)
						return []*Node{y, h}
					}, args...)
					name := fmt.Sprintf("%s %s %s bounds %v ", dev.Kind, f.name, gate, bounds)
					optest.Near(t, name+"y", got[0], y, 1e-12)
					optest.Near(t, name+"state", got[1], state, 1e-12)
				}
			}
		}
	}
}
