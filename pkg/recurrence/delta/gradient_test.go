package delta_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestGradientsAgainstDifferences: every input, through the outputs and through the final state, in float64, along a
// random direction.
func TestGradientsAgainstDifferences(t *testing.T) {
	for trial, gate := range gates {
		for _, erasure := range erasures {
			c := random(4, delta.Dims{Batch: 2, Tokens: 19, Heads: 2, Key: 3, Value: 2}, gate, erasure, -0.5, -0.01)
			if trial == 1 {
				c.segments = make([]int32, c.Batch*c.Tokens)
				for i := range c.segments {
					c.segments[i] = int32(i%c.Tokens/7 + i/c.Tokens)
				}
			}
			for _, dev := range optest.Devices(t) {
				for _, f := range forms {
					if dev.Kind != "go" && (trial != 2 || f.name == "step" || erasure != "delta rule") {
						continue
					}
					names, args := inputs[float64](c)
					loss := func(in []*Node) *Node {
						y, h := f.run(operands(names, in), 8)
						return Add(ReduceAllSum(Sin(y)), ReduceAllSum(Cos(h)))
					}
					n := len(names)
					if c.segments != nil {
						n--
					}
					grads := optest.Run(t, dev, func(in []*Node) []*Node { return Gradient(loss(in), in[:n]...) }, args...)
					e := MustNewExec(dev.Backend, func(in []*Node) []*Node { return []*Node{loss(in)} })
					r := rand.New(rand.NewPCG(1, 2))
					for q := range n {
						got, want := directional(e, args, q, r, grads[q])
						if want == 0 || math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
							t.Errorf("%s %s, %s, %s: d/d%s along a direction is %g, differences give %g", dev.Kind, f.name, gate, erasure, names[q], got, want)
						}
					}
					e.Finalize()
				}
			}
		}
	}
}

// directional returns the derivative of e along a random direction of argument q: by the gradient, by differences.
func directional(e *Exec, args []any, q int, r *rand.Rand, gradient []float64) (byGradient, byDifferences float64) {
	tensor := args[q].(*tensors.Tensor)
	v := optest.Floats(tensor)
	dir := normal(r, len(v))
	for i := range dir {
		byGradient += dir[i] * gradient[i]
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
	return byGradient, (at(1e-6) - at(-1e-6)) / 2e-6
}

// TestExtremesStayFinite: from no decay to e⁻²⁰⁰ a token, weak gates between strong ones, β of 0, 1 and 2, and one key at
// every token, where powers of L grow like binomial coefficients.
func TestExtremesStayFinite(t *testing.T) {
	for _, gate := range gates {
		for _, erasure := range erasures {
			d := delta.Dims{Batch: 1, Tokens: 130, Heads: 1, Key: 4, Value: 3}
			for _, dev := range optest.Devices(t) {
				if dev.Kind != "go" && (gate != "per channel" || erasure != "delta rule") {
					continue
				}
				var e *Exec
				for _, log := range []float64{0, -1e-8, -1, -30, -200} {
					for _, constant := range []bool{false, true} {
						c := random(9, d, gate, erasure, log, log)
						c.extremes(constant)
						c.round()
						y, state := delta.Naive(c.sequence(), nil)
						names, args := inputs[float32](c)
						if e == nil {
							e = MustNewExec(dev.Backend, func(in []*Node) []*Node {
								y, h := forms[0].run(operands(names, in), 64)
								return append([]*Node{y, h}, Gradient(Add(ReduceAllSum(y), ReduceAllSum(h)), in...)...)
							})
						}
						outs, err := e.Call(args...)
						if err != nil {
							t.Fatal(err)
						}
						name := fmt.Sprintf("%s %s %s log decay %g, constant %v: ", dev.Kind, gate, erasure, log, constant)
						rel := 5e-6
						if constant {
							rel = 5e-5 // a reflection at every token forgets no rounding error
						}
						optest.Near(t, name+"y", optest.Floats(outs[0]), y, rel)
						optest.Near(t, name+"state", optest.Floats(outs[1]), state, rel)
						for q, grad := range outs[2:] {
							for _, v := range optest.Floats(grad) {
								if math.IsNaN(v) || math.IsInf(v, 0) {
									t.Fatalf("%sgradient of %s has %g", name, names[q], v)
								}
							}
						}
					}
				}
				e.Finalize()
			}
		}
	}
}

// extremes puts weak decays between strong ones and β at its limits; constant repeats the first token's keys.
func (c call) extremes(constant bool) {
	for i := range c.log {
		if i%3 == 0 {
			c.log[i] = -1e-6
		}
	}
	for i := range c.beta {
		c.beta[i] = []float64{0, 1, 2, 1 - 1e-6}[i%4]
	}
	if constant {
		for i := range c.k {
			if c.k[i] = c.k[i%c.Key]; c.read != nil {
				c.read[i] = c.read[i%c.Key]
				c.erase[i] = c.read[i]
			}
		}
		for i := range c.beta {
			c.beta[i] = 2
		}
	}
}

// round makes every input a float32.
func (c call) round() {
	for _, v := range [][]float64{c.q, c.k, c.v, c.log, c.beta, c.erase, c.read, c.initial} {
		for i := range v {
			v[i] = float64(float32(v[i]))
		}
	}
}

// TestGradientOfDecayInFloat32: summed over all tokens, as the gradient of a rate is, it is as exact as one token's. What pairs
// of tokens within a chunk give to both of their ends must cancel for the tokens outside of them.
func TestGradientOfDecayInFloat32(t *testing.T) {
	for seed := range uint64(4) {
		for _, gate := range gates[1:] {
			c := random(seed, delta.Dims{Batch: 2, Tokens: 64, Heads: 2, Key: 8, Value: 8}, gate, "delta rule", -3, -0.5)
			names, _ := inputs[float64](c)
			gradient := func(in []*Node) []*Node {
				r := delta.Chunk(operands(names, in), 64)
				return Gradient(Add(ReduceAllSum(Sin(r.Y)), ReduceAllSum(Cos(r.State))), in[3])
			}
			for _, dev := range optest.Devices(t) {
				_, single := inputs[float32](c)
				_, double := inputs[float64](c)
				got, want := optest.Run(t, dev, gradient, single...)[0], optest.Run(t, dev, gradient, double...)[0]
				off, largest := 0.0, 0.0
				for i, w := range want {
					off, largest = off+got[i]-w, max(largest, math.Abs(w))
				}
				if !(math.Abs(off) < 2e-6*largest) {
					t.Errorf("%s, %s, seed %d: the gradients of log w differ by %.2g in sum, where the largest is %.2g", dev.Kind, gate, seed, off, largest)
				}
			}
		}
	}
}
