package attention_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestGradientsAgainstDifferences: every input, through the outputs and through the cache, in float64, along a random
// direction, with rotated queries and keys.
func TestGradientsAgainstDifferences(t *testing.T) {
	for _, packed := range []bool{false, true} {
		s := random(4, attention.Dims{Batch: 2, Tokens: 11, Heads: 4, KVHeads: 2, Key: 6, Value: 3}, true)
		if packed {
			s.Segments = make([]int, s.Batch*s.Tokens)
			for i := range s.Segments {
				s.Segments[i] = i%s.Tokens/5 + i/s.Tokens
			}
		}
		loss := func(in []*Node) *Node {
			op := operands(s, in)
			at := attention.Positions(in[0].Graph(), s.Batch, s.Tokens, op.Cache.Held, op.Segments)
			op.Q, op.K = attention.Rotate(op.Q, at, 4, 100), attention.Rotate(op.K, at, 4, 100)
			r := attention.Chunk(op, 4)
			return Add(ReduceAllSum(Sin(r.Y)), Add(ReduceAllSum(Cos(r.Cache.Keys)), ReduceAllSum(Sin(r.Cache.Values))))
		}
		for _, dev := range optest.Devices(t) {
			args := arguments[float64](s)
			grads := optest.Run(t, dev, func(in []*Node) []*Node { return Gradient(loss(in), in[:5]...) }, args...)
			e := MustNewExec(dev.Backend, func(in []*Node) []*Node { return []*Node{loss(in)} })
			r := rand.New(rand.NewPCG(1, 2))
			for q, name := range []string{"q", "k", "v", "keys", "values"} {
				tensor := args[q].(*tensors.Tensor)
				v := optest.Floats(tensor)
				dir, got := make([]float64, len(v)), 0.0
				for i := range dir {
					dir[i] = r.NormFloat64()
					got += dir[i] * grads[q][i]
				}
				at := func(eps float64) float64 {
					moved := append([]any{}, args...)
					w := make([]float64, len(v))
					for i := range w {
						w[i] = v[i] + eps*dir[i]
					}
					moved[q] = tensors.FromFlatDataAndDimensions(w, tensor.Shape().Dimensions...)
					return optest.Floats(e.MustCall(moved...)[0])[0]
				}
				if want := (at(1e-6) - at(-1e-6)) / 2e-6; want == 0 || math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("%s packed %v: d/d%s along a direction is %g, differences give %g", dev.Kind, packed, name, got, want)
				}
			}
			e.Finalize()
		}
	}
}

// TestExtremesStayFinite: equal scores, and scores so far apart that one token takes all.
func TestExtremesStayFinite(t *testing.T) {
	for _, dev := range optest.Devices(t) {
		for _, scale := range []float64{0, 1, 1e4} {
			s := random(9, attention.Dims{Batch: 2, Tokens: 20, Heads: 2, KVHeads: 2, Key: 4, Value: 3}, true)
			for i := range s.Q {
				s.Q[i] *= scale
			}
			got := optest.Run(t, dev, func(in []*Node) []*Node {
				r := attention.Chunk(operands(s, in), 8)
				return append(outputs(r), Gradient(Add(ReduceAllSum(r.Y), ReduceAllSum(r.Cache.Keys)), in[:5]...)...)
			}, arguments[float64](s)...)
			check(t, fmt.Sprint(dev.Kind, " scores of ", scale), s, got, 1e-11)
			for _, grad := range got[4:] {
				for _, v := range grad {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("%s scores of %g: a gradient has %g", dev.Kind, scale, v)
					}
				}
			}
		}
	}
}

// TestRotateEqualsNaive on whole and partly rotated heads.
func TestRotateEqualsNaive(t *testing.T) {
	s := random(3, attention.Dims{Batch: 1, Tokens: 5, Heads: 2, KVHeads: 2, Key: 8, Value: 1}, false)
	for _, rotated := range []int{0, 4, 8} {
		want := append([]float64{}, s.Q...)
		for i := 0; i < len(want); i += s.Key {
			attention.NaiveRotate(want[i:i+s.Key], float64(1000+i/(s.Heads*s.Key)), rotated, 10000)
		}
		got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
			at := AddScalar(attention.Positions(in[0].Graph(), 1, s.Tokens, nil, nil), 1000)
			return []*Node{attention.Rotate(in[0], at, rotated, 10000)}
		}, arguments[float64](s)[0])
		optest.Near(t, fmt.Sprint(rotated, " rotated"), got[0], want, 1e-12)
	}
}
