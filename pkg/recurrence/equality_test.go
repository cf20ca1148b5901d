package recurrence_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestFormsEqualNaive: every length around a chunk's end, every grouping, with and without initial state, in float64
// and float32 on the Go backend; a sample of them through XLA.
func TestFormsEqualNaive(t *testing.T) {
	for _, tokens := range []int{1, 2, 3, 63, 64, 65, 100, 127, 128, 1000} {
		for _, groups := range []int{1, 2, 4} {
			for _, initial := range []bool{false, true} {
				d := recurrence.Dims{Batch: 1 + tokens%2, Tokens: tokens, Heads: 4, HeadDim: 3, Groups: groups, State: 5}
				s := random(uint64(tokens), d, -0.4, 0, initial)
				y, state := recurrence.Naive(s, nil)
				for _, f := range forms {
					for i, q := range f.chunks {
						for _, dev := range optest.Devices(t) {
							sampled := groups == 2 && initial && (tokens == 65 && i == 0 || tokens == 1000 && i == 1)
							if dev.Kind != "go" && !sampled {
								continue
							}
							name := fmt.Sprintf("%s %s: T %d, Q %d, G %d, initial %v", dev.Kind, f.name, tokens, q, groups, initial)
							graph := func(in []*Node) []*Node {
								y, h := f.compute(in, q, initial, true)
								return []*Node{y, h}
							}
							got := optest.Run(t, dev, graph, inputs[float32](s)...)
							optest.Near(t, name+": y", got[0], y, f.single)
							optest.Near(t, name+": state", got[1], state, f.single)
							if tokens < 1000 && dev.Kind == "go" {
								got = optest.Run(t, dev, graph, inputs[float64](s)...)
								optest.Near(t, name+": y in float64", got[0], y, f.exact)
								optest.Near(t, name+": state in float64", got[1], state, f.exact)
							}
						}
					}
				}
			}
		}
	}
}

// TestSplitsDoNotMatter carries the state over 20 random partitions, with pieces of no and of one token.
func TestSplitsDoNotMatter(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 300, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	s := random(11, d, -0.3, 0, true)
	y, state := recurrence.Naive(s, nil)
	r := rand.New(rand.NewPCG(5, 5))
	dev := optest.Devices(t)[0]
	f := forms[0]
	for trial := range 20 {
		cuts := []int{0}
		for cuts[len(cuts)-1] < d.Tokens {
			step := []int{0, 1, r.IntN(90)}[r.IntN(3)]
			cuts = append(cuts, min(d.Tokens, cuts[len(cuts)-1]+step))
		}
		got := optest.Run(t, dev, func(in []*Node) []*Node {
			h := in[6]
			var ys []*Node
			for i := 1; i < len(cuts); i++ {
				if cuts[i] == cuts[i-1] {
					continue // a piece without tokens leaves the state alone
				}
				piece := func(x *Node) *Node { return SliceAxis(x, 1, AxisRange(cuts[i-1], cuts[i])) }
				part := []*Node{piece(in[0]), piece(in[1]), in[2], piece(in[3]), piece(in[4]), in[5], h}
				var y *Node
				g := f
				if cuts[i] == cuts[i-1]+1 {
					g = forms[1] // one token by Step, among chunks
				}
				y, h = g.compute(part, 32, true, true)
				ys = append(ys, y)
			}
			return []*Node{Concatenate(ys, 1), h}
		}, inputs[float64](s)...)
		optest.Near(t, fmt.Sprint("y of partition ", trial, cuts), got[0], y, 1e-12)
		optest.Near(t, fmt.Sprint("state of partition ", trial, cuts), got[1], state, 1e-12)
	}
}

// TestSegmentsRestartTheState packs documents, of one token too, with boundaries on, before and after those of chunks.
func TestSegmentsRestartTheState(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 90, Heads: 2, HeadDim: 3, Groups: 1, State: 4}
	for first, bounds := range [][]int{{5, 6, 32, 33, 64, 80}, {0, 1, 31, 89}} {
		s := random(12, d, -0.3, 0, true)
		s.Segments = make([]int, d.Tokens)
		ids := make([]int32, d.Tokens)
		for i := range ids {
			for _, b := range bounds {
				if i >= b {
					s.Segments[i]++
				}
			}
			ids[i] = int32(s.Segments[i])
		}
		var ends []int32
		for _, b := range append(bounds, d.Tokens) {
			if b > 0 {
				ends = append(ends, int32(b-1))
			}
		}
		states := map[int][]float64{}
		y, state := recurrence.Naive(s, func(_, tok, _ int, h []float64) { states[tok] = append(states[tok], h...) })
		var wantEnds []float64
		for _, e := range ends {
			wantEnds = append(wantEnds, states[int(e)]...)
		}
		for _, dev := range optest.Devices(t) {
			args := append(inputs[float64](s), tensors.FromFlatDataAndDimensions(ids, 1, d.Tokens), tensors.FromFlatDataAndDimensions(ends, len(ends)))
			for _, f := range forms {
				for i, q := range append([]int{4}, f.chunks...) {
					if dev.Kind != "go" && (i != 1 || first > 0 || f.name == "step") {
						continue
					}
					got := optest.Run(t, dev, func(in []*Node) []*Node {
						y, h := f.compute(in[:8], q, true, true)
						return []*Node{y, h}
					}, args...)
					name := fmt.Sprintf("%s %s Q %d bounds %v ", dev.Kind, f.name, q, bounds)
					optest.Near(t, name+"y", got[0], y, f.exact)
					optest.Near(t, name+"state", got[1], state, f.exact)
				}
			}
			got := optest.Run(t, dev, func(in []*Node) []*Node {
				op := operands(in)
				op.Segments = in[7]
				return []*Node{recurrence.Chunk(op, 32).StatesAt(in[8])}
			}, args...)
			optest.Near(t, dev.Kind+" states at document ends", got[0], wantEnds, 1e-12)
		}
	}
}

// TestLongSequence runs 65,536 tokens in float32 beside the definition in float64.
func TestLongSequence(t *testing.T) {
	d := recurrence.Dims{Batch: 1, Tokens: 65536, Heads: 2, HeadDim: 4, Groups: 1, State: 8}
	s := random(31, d, -2e-3, 0, true)
	for i := range s.X {
		s.X[i] *= 0.01
	}
	y, state := recurrence.Naive(s, nil)
	width := d.Heads * d.HeadDim
	for _, dev := range optest.Devices(t) {
		for _, f := range forms {
			if f.name == "step" && dev.Kind == "go" {
				continue // its loop on the Go backend copies all outputs at every token; XLA runs it below
			}
			got := optest.Run(t, dev, func(in []*Node) []*Node { y, h := f.compute(in, 64, true, true); return []*Node{y, h} }, inputs[float32](s)...)
			for i := range 8 {
				at := (d.Tokens - 1) * i / 7 * width
				optest.Near(t, fmt.Sprint(dev.Kind, " ", f.name, ": y at ", at/width), got[0][at:at+width], y[at:at+width], 1e-4)
			}
			optest.Near(t, dev.Kind+" "+f.name+": state", got[1], state, 1e-4)
		}
	}
}

// TestBFloat16Operands rounds x, B and C; the error stays that of their rounding.
func TestBFloat16Operands(t *testing.T) {
	d := recurrence.Dims{Batch: 2, Tokens: 100, Heads: 4, HeadDim: 8, Groups: 1, State: 16}
	s := random(41, d, -0.3, 0, true)
	y, state := recurrence.Naive(s, nil)
	for _, dev := range optest.Devices(t) {
		for _, f := range forms {
			if f.half == 0 {
				continue
			}
			graph := func(half bool) func(in []*Node) []*Node {
				return func(in []*Node) []*Node {
					op := operands(in)
					if half {
						for _, x := range []**Node{&op.X, &op.B, &op.C} {
							*x = ConvertDType(*x, dtypes.BFloat16)
						}
					}
					y, h := f.run(op, 32, false)
					y = recurrence.Skip(y, in[0], Reshape(in[5], 1, 1, d.Heads, 1))
					return append([]*Node{y, h}, Gradient(ReduceAllSum(Square(y)), in...)...)
				}
			}
			got := optest.Run(t, dev, graph(true), inputs[float32](s)...)
			want := optest.Run(t, optest.Devices(t)[0], graph(false), inputs[float64](s)...)
			want[0], want[1] = y, state
			for i, name := range []string{"y", "state", "d/dx", "d/ddt", "d/dA", "d/dB", "d/dC", "d/dD", "d/dinitial"} {
				limit := f.half
				if i > 1 {
					limit *= 2
				}
				if off := rms(got[i], want[i]) / rms(want[i], nil); !(off <= limit) {
					t.Errorf("%s %s: %s deviates by %.2g of its RMS, at most %g", dev.Kind, f.name, name, off, limit)
				}
			}
		}
	}
}

// rms is that of a − b; nil is zero.
func rms(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		if b != nil {
			v -= b[i]
		}
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(a)))
}
