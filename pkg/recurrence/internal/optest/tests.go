package optest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

// Lengths compares every form with Naive on both sides of every chunk's end, in float64 and float32.
func (o Operator) Lengths(t *testing.T) {
	for _, tokens := range []int{1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 129} {
		in := o.Random(rand.New(rand.NewPCG(uint64(tokens), 3)), 1+tokens%2, tokens)
		want := o.views(o.Naive(in, nil))
		for _, f := range o.forms() {
			for i, q := range o.Chunks {
				if f.name == "step" && i > 0 {
					break
				}
				for _, d := range Devices(t) {
					for _, dtype := range []dtypes.DType{dtypes.Float64, dtypes.Float32} {
						if d.Kind != "go" && (tokens != 65 || i != len(o.Chunks)-1 || dtype != dtypes.Float32) {
							continue // compiling each takes seconds
						}
						got := Run(t, d, func(in []*Node) []*Node { return f.run(in, nil, q, true) }, arguments(dtype, in)...)
						near(t, label(d.Kind, " ", f.name, " ", dtype, ": T ", tokens, ", Q ", q), got, want, o.allowed(dtype))
					}
				}
			}
		}
	}
}

func (o Operator) allowed(t dtypes.DType) float64 {
	if t == dtypes.Float64 {
		return 1e-12
	}
	return o.single()
}

func near(t testing.TB, name string, got, want [][]float64, rel float64) {
	t.Helper()
	for i := range want {
		Near(t, label(name, ", output ", i), got[i], want[i], rel)
	}
}

// Splits carries the state over 20 random partitions, with pieces of one token by Step.
func (o Operator) Splits(t *testing.T) {
	const tokens = 90
	in := o.Random(rand.New(rand.NewPCG(8, 3)), 2, tokens)
	want := o.views(o.Naive(in, nil))
	roles := o.roles()
	r := rand.New(rand.NewPCG(5, 5))
	for trial := range 20 {
		cuts := []int{0}
		for cuts[len(cuts)-1] < tokens {
			cuts = append(cuts, min(tokens, cuts[len(cuts)-1]+[]int{0, 1, r.IntN(50)}[r.IntN(3)]))
		}
		cuts = slices.Compact(cuts) // a piece without tokens leaves the state alone
		got := Run(t, Devices(t)[0], func(in []*Node) []*Node {
			in = slices.Clone(in)
			var ys, outs []*Node
			for i := 1; i < len(cuts); i++ {
				part := slices.Clone(in)
				for j, role := range roles {
					if role == Token {
						part[j] = SliceAxis(in[j], 1, AxisRange(cuts[i-1], cuts[i]))
						if cuts[i] == cuts[i-1]+1 {
							part[j] = Squeeze(part[j], 1)
						}
					}
				}
				if cuts[i] == cuts[i-1]+1 {
					outs = o.Step(part)
					outs[0] = InsertAxes(outs[0], 1)
				} else {
					outs = o.Chunk(part, nil, o.Chunks[0])
				}
				ys = append(ys, outs[0])
				next := outs[1:]
				for j, role := range roles {
					if role == State {
						in[j], next = next[0], next[1:]
					}
				}
			}
			return o.view(append([]*Node{Concatenate(ys, 1)}, outs[1:]...))
		}, arguments(dtypes.Float64, in)...)
		near(t, label("partition ", trial, " ", cuts), got, want, 1e-12)
	}
}

// Segments packs documents, of one token too, with boundaries on, before and after those of chunks.
func (o Operator) Segments(t *testing.T) {
	const tokens = 90
	for _, bounds := range [][]int{{5, 6, 32, 33, 64, 80}, {0, 1, 31, 89}} {
		in := o.Random(rand.New(rand.NewPCG(12, 3)), 1, tokens)
		segments, ids := make([]int, tokens), make([]int32, tokens)
		for i := range ids {
			for _, b := range bounds {
				if i >= b {
					segments[i]++
				}
			}
			ids[i] = int32(segments[i])
		}
		want := o.views(o.Naive(in, segments))
		for _, f := range o.forms() {
			for i, q := range o.Chunks {
				if f.name == "step" && i > 0 {
					break
				}
				got := Run(t, Devices(t)[0], func(in []*Node) []*Node { return f.run(in[:len(in)-1], in[len(in)-1], q, true) },
					append(arguments(dtypes.Float64, in), tensors.FromFlatDataAndDimensions(ids, 1, tokens))...)
				near(t, label(f.name, ": Q ", q, ", documents at ", bounds), got, want, 1e-12)
			}
		}
	}
}

// loss is a number that depends on every output.
func loss(outs []*Node) *Node {
	sum := ReduceAllSum(Sin(outs[0]))
	for _, o := range outs[1:] {
		sum = Add(sum, ReduceAllSum(Cos(MulScalar(o, 0.7))))
	}
	return sum
}

// Differences compares every gradient, through y and the final state, with finite differences in float64, which the Go
// backend takes.
func (o Operator) Differences(t *testing.T) {
	const tokens = 37
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(i / 15)
	}
	in := o.Random(rand.New(rand.NewPCG(4, 3)), 1, tokens)
	args := func() []any {
		return append(arguments(dtypes.Float64, in), tensors.FromFlatDataAndDimensions(ids, 1, tokens))
	}
	for _, f := range o.forms() {
		for _, packed := range []bool{false, true} {
			q := o.Chunks[len(o.Chunks)-1]
			if packed {
				q = o.Chunks[0]
			}
			value := func(in []*Node) *Node {
				if packed {
					return loss(f.run(in[:len(in)-1], in[len(in)-1], q, false))
				}
				return loss(f.run(in[:len(in)-1], nil, q, false))
			}
			e := MustNewExec(Devices(t)[0].Backend, func(in []*Node) []*Node { return []*Node{value(in)} })
			r := rand.New(rand.NewPCG(1, 2))
			directions, differences := make([][]float64, len(in)), make([]float64, len(in))
			for i, x := range in {
				directions[i] = Normal(r, len(x.Value), 1)
				for _, sign := range []float64{1, -1} {
					moved := slices.Clone(x.Value)
					for j, v := range directions[i] {
						moved[j] += sign * 1e-6 * v
					}
					with := args()
					with[i] = Tensor(dtypes.Float64, moved, x.Dims...)
					differences[i] += sign * call(t, e, with...)[0][0] / 2e-6
				}
			}
			e.Finalize()
			for _, d := range Devices(t) {
				if d.Kind != "go" && packed {
					continue // compiling takes seconds
				}
				grads := Run(t, d, func(in []*Node) []*Node { return Gradient(value(in), in[:len(in)-1]...) }, args()...)
				for i, x := range in {
					along := 0.0
					for j, v := range directions[i] {
						along += v * grads[i][j]
					}
					if want := differences[i]; want == 0 || math.Abs(along-want) > 1e-6*(1+math.Abs(want)) {
						t.Errorf("%s %s, packed %v: d/d%s along a direction is %g, differences give %g", d.Kind, f.name, packed, x.Name, along, want)
					}
				}
			}
		}
	}
}

// Extremes runs gates from no decay to a state lost at every token, weak ones between strong ones, in float32.
func (o Operator) Extremes(t *testing.T) {
	for _, d := range Devices(t) {
		for _, f := range o.forms() {
			tokens := 100
			if f.name == "step" {
				if d.Kind != "go" {
					continue
				}
				tokens = 30 // unrolled on the Go backend
			}
			q := o.Chunks[len(o.Chunks)-1]
			e := MustNewExec(d.Backend, func(in []*Node) []*Node {
				outs := f.run(in, nil, q, false)
				return append(outs, Gradient(loss(outs), in...)...)
			})
			exact := MustNewExec(Devices(t)[0].Backend, func(in []*Node) []*Node { return Gradient(loss(f.run(in, nil, q, false)), in...) })
			for _, gate := range []float64{0, -1e-8, -1, -30, -200, -1e4} {
				for _, mixed := range []bool{false, true} {
					in := o.Random(rand.New(rand.NewPCG(9, 3)), 1, tokens)
					o.Extreme(in, gate, mixed)
					want := o.views(o.Naive(in, nil))
					got := call(t, e, arguments(dtypes.Float32, in)...)
					name := label(d.Kind, " ", f.name, ", gate ", gate, ", mixed ", mixed)
					near(t, name, got, want, 2*o.single())
					grads, largest := call(t, exact, arguments(dtypes.Float64, in)...), 0.0
					for i := range grads {
						grads[i] = append(grads[i], 0)
						largest = max(largest, slices.Max(grads[i]), -slices.Min(grads[i]))
					}
					for i, g := range grads { // a gradient that vanishes is a sum of large terms
						g[len(g)-1] = largest
						Near(t, label(name, ", gradient of ", in[i].Name), append(got[len(want)+i], largest), g, 1e-4)
					}
				}
			}
			e.Finalize()
			exact.Finalize()
		}
	}
}

// Padding appends tokens that must leave the state alone.
func (o Operator) Padding(t *testing.T) {
	if o.Padded == nil {
		return
	}
	const tokens = 40
	in := o.Random(rand.New(rand.NewPCG(6, 3)), 1, tokens)
	for _, length := range []int{1, 15, 16, 17, 40} {
		short := slices.Clone(in)
		for i, x := range short {
			if x.Role == Token {
				per := len(x.Value) / tokens
				short[i].Value, short[i].Dims = x.Value[:length*per], append([]int{1, length}, x.Dims[2:]...)
			}
		}
		want := o.views(o.Naive(short, nil))
		got := Run(t, Devices(t)[0], func(in []*Node) []*Node {
			outs := o.Padded(in[:len(in)-1], in[len(in)-1], 16)
			outs[0] = SliceAxis(outs[0], 1, AxisRange(0, length))
			return o.view(outs)
		}, append(arguments(dtypes.Float64, in), int32(length))...)
		near(t, label("padding from ", length), got, want, 1e-12)
	}
}

// Shown compares numbers by token of a state, shown by a graph and computed from what Naive lets watch, in one packed
// sequence.
func Shown(t *testing.T, in []Input, show func(in []*Node, segments *Node) []*Node, want func(segments []int) [][]float64) {
	tokens := in[0].Dims[1]
	segments, ids := make([]int, tokens), make([]int32, tokens)
	for i := range ids {
		segments[i] = i / 7
		ids[i] = int32(segments[i])
	}
	for _, d := range Devices(t)[:1] {
		got := Run(t, d, func(in []*Node) []*Node { return show(in[:len(in)-1], in[len(in)-1]) },
			append(arguments(dtypes.Float64, in), tensors.FromFlatDataAndDimensions(ids, 1, tokens))...)
		near(t, "shown", got, want(segments), 1e-12)
	}
}

// Loop runs every form inside a loop, as the layers of a model do: the Go backend loses some explicit broadcasts there.
func (o Operator) Loop(t *testing.T) {
	const tokens = 20
	for _, batch := range []int{1, 2} {
		in := o.Random(rand.New(rand.NewPCG(7, 3)), batch, tokens)
		want := o.views(o.Naive(in, nil))
		for _, f := range o.forms() {
			got := Run(t, Devices(t)[0], func(in []*Node) []*Node {
				var outs []*Node
				xs := make([]*Node, len(in))
				for i, x := range in {
					xs[i] = InsertAxes(x, 0)
				}
				_, ys := xla.Scan{N: 1, Infer: true}.Run([]*Node{ScalarZero(in[0].Graph(), dtypes.Int32)}, xs, nil,
					func(_ *xla.Iter, carry, x, _ []*Node) (next, ys []*Node) {
						return carry, f.run(x, nil, o.Chunks[0], true)
					})
				for _, y := range ys {
					outs = append(outs, Squeeze(y, 0))
				}
				return outs
			}, arguments(dtypes.Float64, in)...)
			near(t, label("inside a loop, ", f.name, ", batch ", batch), got, want, 1e-12)
		}
	}
}
