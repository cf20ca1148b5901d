package recurrence_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestGradientsAgainstDifferences: every input, raw dt and its bias included, through the outputs and through the
// final state, in float64, along a random direction.
func TestGradientsAgainstDifferences(t *testing.T) {
	for _, c := range []struct {
		name          string
		groups, chunk int
		initial, pack bool
	}{
		{"two groups", 2, 8, true, false}, {"one group, one chunk", 1, 64, true, false},
		{"a group a head, no initial state", 4, 5, false, false}, {"packed", 2, 8, true, true},
	} {
		d := recurrence.Dims{Batch: 2, Tokens: 37, Heads: 4, HeadDim: 3, Groups: c.groups, State: 2}
		s := random(4, d, -0.5, -0.01, true)
		segments := make([]int32, d.Batch*d.Tokens)
		for i := range segments {
			if at := i % d.Tokens; c.pack {
				segments[i] = int32(at/9) + int32(i/d.Tokens)
			}
		}
		for _, dev := range optest.Devices(t) {
			args := append(inputs[float64](s), tensors.FromFlatDataAndDimensions(segments, d.Batch, d.Tokens),
				tensors.FromFlatDataAndDimensions([]float64{-0.5, 0, 0.2, 1}, d.Heads))
			for _, f := range forms {
				if dev.Kind != "go" && (!c.pack || f.name == "step") {
					continue
				}
				loss := func(in []*Node) *Node {
					in = append([]*Node{}, in...)
					in[1] = recurrence.Delta(Neg(in[1]), Reshape(in[8], 1, 1, d.Heads), 0.3, 1.2)
					in = in[:8]
					if !c.pack {
						in = in[:7]
					}
					y, h := f.compute(in, c.chunk, c.initial, false)
					return Add(ReduceAllSum(Sin(y)), ReduceAllSum(Cos(h)))
				}
				names := []string{"x", "dt", "A", "B", "C", "D", "initial", "segments", "dt_bias"}
				var floats []int
				for i := range names {
					if i != 7 && (i != 6 || c.initial) {
						floats = append(floats, i)
					}
				}
				grads := optest.Run(t, dev, func(in []*Node) []*Node {
					var wrt []*Node
					for _, i := range floats {
						wrt = append(wrt, in[i])
					}
					return Gradient(loss(in), wrt...)
				}, args...)
				e := MustNewExec(dev.Backend, func(in []*Node) []*Node { return []*Node{loss(in)} })
				r := rand.New(rand.NewPCG(1, 2))
				for i, q := range floats {
					want := differences(e, args, q, r, grads[i])
					if want[1] == 0 || math.Abs(want[0]-want[1]) > 1e-6*(1+math.Abs(want[1])) {
						t.Errorf("%s %s, %s: d/d%s along a direction is %g, differences give %g", dev.Kind, f.name, c.name, names[q], want[0], want[1])
					}
				}
				e.Finalize()
			}
		}
	}
}

// differences returns the derivative of e along a random direction of argument q: by the gradient, by differences.
func differences(e *Exec, args []any, q int, r *rand.Rand, gradient []float64) (both [2]float64) {
	tensor := args[q].(*tensors.Tensor)
	v := optest.Floats(tensor)
	dir := make([]float64, len(v))
	for i := range dir {
		dir[i] = r.NormFloat64()
		both[0] += dir[i] * gradient[i]
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
	both[1] = (at(1e-6) - at(-1e-6)) / 2e-6
	return both
}

// TestGateExtremesStayFinite: from no decay to e⁻²⁰⁰ a token, weak gates between strong ones.
func TestGateExtremesStayFinite(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 150, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	for _, dev := range optest.Devices(t) {
		for _, f := range forms {
			if f.name == "step" && dev.Kind == "go" {
				d.Tokens = 40 // unrolled
			}
			e := MustNewExec(dev.Backend, func(in []*Node) []*Node {
				y, h := f.compute(in, 64, true, false)
				return append([]*Node{y, h}, Gradient(Add(ReduceAllSum(y), ReduceAllSum(h)), in...)...)
			})
			for _, gate := range []float64{0, -1e-8, -1, -30, -200} {
				for _, every := range []int{1, 3} {
					s := random(9, d, gate, gate, true)
					for i := 0; i < len(s.Delta) && every > 1; i += every {
						s.Delta[i] = 1e-4
					}
					y, state := recurrence.Naive(s, nil)
					outs, err := e.Call(inputs[float32](s)...)
					if err != nil {
						t.Fatal(err)
					}
					name := fmt.Sprintf("%s %s gate %g every %d: ", dev.Kind, f.name, gate, every)
					optest.Near(t, name+"y", optest.Floats(outs[0]), y, 1e-5)
					optest.Near(t, name+"state", optest.Floats(outs[1]), state, 1e-5)
					for q, grad := range outs[2:] {
						for _, v := range optest.Floats(grad) {
							if math.IsNaN(v) || math.IsInf(v, 0) {
								t.Fatalf("%sgradient %d has %g", name, q, v)
							}
						}
					}
				}
			}
			e.Finalize()
		}
	}
}

// TestRawDeltaExtremes: softplus and its limits stay finite, with the gradient of a clamp.
func TestRawDeltaExtremes(t *testing.T) {
	dt := []float64{-1e4, -200, -30, -1, 0, 1, 30, 200, 1e4}
	for _, dev := range optest.Devices(t) {
		for _, limits := range [][2]float64{{0, math.Inf(1)}, {0.01, 20}} {
			out := optest.Run(t, dev, func(in []*Node) []*Node {
				delta := recurrence.Delta(in[0], in[1], limits[0], limits[1])
				return append([]*Node{delta}, Gradient(ReduceAllSum(delta), in...)...)
			}, tensors.FromFlatDataAndDimensions(dt, 1, len(dt), 1), tensors.FromFlatDataAndDimensions([]float64{0.5}, 1, 1, 1))
			want := recurrence.NaiveDelta(dt, []float64{0.5}, limits[0], limits[1])
			optest.Near(t, fmt.Sprint(dev.Kind, limits, " delta"), out[0], want, 1e-14)
			sum := 0.0
			for i, v := range dt {
				slope := 1 / (1 + math.Exp(-v-0.5))
				if want[i] <= limits[0] && limits[0] > 0 || want[i] >= limits[1] {
					slope = 0
				}
				sum += slope
				if math.Abs(out[1][i]-slope) > 1e-12 {
					t.Errorf("%s limits %v: slope at dt %g is %g, want %g", dev.Kind, limits, v, out[1][i], slope)
				}
			}
			optest.Near(t, fmt.Sprint(dev.Kind, limits, " bias"), out[2], []float64{sum}, 1e-12)
		}
	}
}
