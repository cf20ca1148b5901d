package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence/attention"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/recurrence/logsum"
	"stuffed/pkg/recurrence/selectivescan"
	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/xla"
)

// OperatorDims are the sizes at which operators of several architectures are timed; operators over channels have Heads × Value
// channels.
type OperatorDims struct{ Batch, Tokens, Heads, Key, Value int }

// operatorCase is one architecture's operator on inputs that are drawn once.
type operatorCase struct {
	name   string
	chunk  int
	inputs []drawn
	build  func(in []*Node, chunk int) *Node // returns y; products are in the dtype that models use
	note   string
	graph  func(in []*Node, chunk int) *Node // the same without kernels, or nil where there are none
}

// drawn is an input: normal numbers of a shape, transformed into what the operator expects. Gradients are taken with respect to
// it.
type drawn struct {
	dims []int
	made func(x *Node) *Node
}

func bf16(x *Node) *Node { return ConvertDType(x, dtypes.BFloat16) }
func f32(x *Node) *Node  { return ConvertDType(x, dtypes.Float32) }

// unit normalises rows to norm 1.
func unit(x *Node) *Node { return bf16(Div(x, Sqrt(ReduceAndKeep(Square(x), ReduceSum, -1)))) }

// decay is log σ(x) / 16, GLA's gate at initialisation.
func decay(x *Node) *Node { return DivScalar(Neg(Softplus(Neg(x))), 16) }

// operatorCases lists the operators. They multiply in bfloat16, those of packages delta and attention only in kernels.
func operatorCases(d OperatorDims) []operatorCase {
	wide := func(last int, made func(*Node) *Node) drawn {
		return drawn{[]int{d.Batch, d.Tokens, d.Heads, last}, made}
	}
	perHead := func(made func(*Node) *Node) drawn { return drawn{[]int{d.Batch, d.Tokens, d.Heads}, made} }
	channels := func(made func(*Node) *Node) drawn {
		return drawn{[]int{d.Batch, d.Tokens, d.Heads * d.Value}, made}
	}
	q, k, v := wide(d.Key, bf16), wide(d.Key, bf16), wide(d.Value, bf16)
	gate, beta, scale := wide(d.Key, decay), perHead(Sigmoid), 1/math.Sqrt(float64(d.Key))
	rule := func(decays, plain bool) func(in []*Node, chunk int) *Node {
		return func(in []*Node, chunk int) *Node {
			var log *Node
			if decays {
				log = in[4]
			}
			op := delta.Rule(MulScalar(f32(in[0]), scale), f32(in[1]), f32(in[2]), log, in[3])
			op.Half, op.NoKernels = !plain, plain
			return delta.Chunk(op, chunk).Y
		}
	}
	gla := func(plain bool) func(in []*Node, chunk int) *Node {
		return func(in []*Node, chunk int) *Node {
			y, _ := vectorgate.Chunk(vectorgate.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], LogDecay: in[3], NoKernels: plain}, chunk)
			return y
		}
	}
	rwkv6 := func(plain bool) func(in []*Node, chunk int) *Node {
		return func(in []*Node, chunk int) *Node {
			y, _ := vectorgate.Chunk(vectorgate.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Bonus: in[4], NoKernels: plain}, chunk)
			return y
		}
	}
	rwkv7 := func(plain bool) func(in []*Node, chunk int) *Node {
		return func(in []*Node, chunk int) *Node {
			read := f32(in[4])
			return delta.Chunk(delta.Operands{Q: f32(in[0]), K: f32(in[1]), V: f32(in[2]), LogDecay: in[3], Read: read,
				Erase: Mul(read, InsertAxes(in[5], -1)), Half: !plain, NoKernels: plain}, chunk).Y
		}
	}
	attend := func(plain bool) func(in []*Node, chunk int) *Node {
		return func(in []*Node, block int) *Node {
			return attention.Chunk(attention.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], NoKernels: plain}, block).Y
		}
	}
	const single = "in float32, products in TF32, where no kernel is"
	return []operatorCase{
		{"retention", 64, []drawn{q, k, v}, func(in []*Node, chunk int) *Node {
			log := make([]float32, d.Heads)
			for h, g := range fixeddecay.Retention(d.Heads) {
				log[h] = float32(g)
			}
			y, _ := fixeddecay.Chunk(fixeddecay.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], LogDecay: Const(in[0].Graph(), log)}, chunk)
			return y
		}, "", nil},
		{"gla", 64, []drawn{q, k, v, gate}, gla(false), "HGRN-2 is the same operator", gla(true)},
		{"rwkv6", 64, []drawn{q, k, v, gate, {[]int{d.Heads, d.Key}, f32}}, rwkv6(false), "", rwkv6(true)},
		{"delta rule", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta}, rule(false, false), single, rule(false, true)},
		{"gated delta rule", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta, perHead(decay)}, rule(true, false), single, rule(true, true)},
		{"kda", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta, gate}, rule(true, false), single, rule(true, true)},
		{"rwkv7", 64, []drawn{q, k, v, gate, wide(d.Key, unit), beta}, rwkv7(false), single, rwkv7(true)},
		{"attention", 128, []drawn{q, k, v}, attend(false), "in float32 where no kernel is", attend(true)},
		{"rwkv4", 16, []drawn{channels(f32), channels(f32), {[]int{d.Heads * d.Value}, decay}, {[]int{d.Heads * d.Value}, f32}}, func(in []*Node, chunk int) *Node {
			y, _ := logsum.Chunk(logsum.Operands{K: in[0], V: in[1], LogDecay: in[2], Bonus: in[3]}, chunk)
			return y
		}, "float32", nil},
		{"selective scan N16", 64, []drawn{channels(bf16), channels(func(x *Node) *Node { return MulScalar(Sigmoid(x), 0.1) }),
			{[]int{d.Heads * d.Value, 16}, func(x *Node) *Node { return Neg(Exp(x)) }}, {[]int{d.Batch, d.Tokens, 16}, bf16}, {[]int{d.Batch, d.Tokens, 16}, bf16}},
			func(in []*Node, chunk int) *Node {
				y, _ := selectivescan.Chunk(selectivescan.Operands{X: in[0], Delta: in[1], A: in[2], B: in[3], C: in[4]}, chunk)
				return y
			}, "flash-linear-attention has no kernel for it", nil},
	}
}

// run times the forward pass, and forward and backward with gradients for all inputs, in milliseconds.
func (c operatorCase) run(d *xla.Device, dims OperatorDims, runs int) []Row {
	form := fmt.Sprintf("graph, chunk %d", c.chunk)
	if c.graph != nil && xla.HasKernels(d.Backend) {
		form = "kernels"
	}
	shape := fmt.Sprintf("%s B%d T%d H%d K%d V%d (%s)", c.name, dims.Batch, dims.Tokens, dims.Heads, dims.Key, dims.Value, form)
	row := func(what string) Row { return Row{Work: "operator", Shape: shape + " " + what, Note: c.note} }
	var in []any
	for i, input := range c.inputs {
		t, err := input.draw(d, uint64(i))
		if err != nil {
			bad := row("inputs")
			bad.Error = err.Error()
			return []Row{bad}
		}
		in = append(in, t)
		defer t.MustFinalizeAll()
	}
	cotangent, err := drawn{[]int{dims.Batch, dims.Tokens, dims.Heads * dims.Value}, bf16}.draw(d, 99)
	if err != nil {
		bad := row("inputs")
		bad.Error = err.Error()
		return []Row{bad}
	}
	defer cotangent.MustFinalizeAll()
	time := func(what string, args []any, f func(in []*Node) []*Node) Row {
		return guard(row(what), func() Row {
			e := MustNewExec(d.Backend, f)
			defer e.Finalize()
			return rates(row(what), runs, 0, func() error {
				outs, err := e.Call(args...)
				for _, o := range outs {
					o.MustFinalizeAll()
				}
				return err
			})
		})
	}
	forward := time("forward", in, func(in []*Node) []*Node { return []*Node{bf16(c.build(in, c.chunk))} })
	both := time("forward+backward", append(in, cotangent), func(in []*Node) []*Node {
		last := len(in) - 1
		y := c.build(in[:last], c.chunk)
		total := ReduceAllSum(Mul(Reshape(y, in[last].Shape().Dimensions...), ConvertDType(in[last], y.DType())))
		return append(Gradient(total, in[:last]...), bf16(y))
	})
	return []Row{forward, both}
}

// draw creates the input on the device.
func (in drawn) draw(d *xla.Device, seed uint64) (*tensors.Tensor, error) {
	r, n := rand.New(rand.NewPCG(seed, 7)), 1
	for _, size := range in.dims {
		n *= size
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	e := MustNewExec(d.Backend, func(x *Node) *Node { return in.made(x) })
	defer e.Finalize()
	out, err := e.Call(tensors.FromFlatDataAndDimensions(v, in.dims...))
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func operatorNames(cases []operatorCase) (names []string) {
	for _, c := range cases {
		names = append(names, c.name)
	}
	return names
}

// operators times every operator at the sizes of flash-linear-attention's benchmarks, batch 16 and 2,048 tokens; with
// Options.Explore also at other chunk lengths.
func operators(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	dims, runs := OperatorDims{Batch: 16, Tokens: 2048, Heads: 16, Key: 64, Value: 64}, 10
	if d.Kind != "cuda" {
		dims, runs = OperatorDims{Batch: 1, Tokens: 512, Heads: 4, Key: 64, Value: 64}, 3
	}
	var jobs []job
	cases := operatorCases(dims)
	for _, name := range o.Operators {
		if !slices.ContainsFunc(cases, func(c operatorCase) bool { return c.name == name }) {
			return fmt.Errorf("operators: %q is unknown; choose from %s", name, strings.Join(operatorNames(cases), ", "))
		}
	}
	for _, c := range cases {
		if len(o.Operators) > 0 && !slices.Contains(o.Operators, c.name) {
			continue
		}
		jobs = append(jobs, job{"operator", func() []Row { return c.run(d, dims, runs) }})
		plain := c
		if c.graph != nil && xla.HasKernels(d.Backend) {
			plain.build, plain.graph = c.graph, nil
			jobs = append(jobs, job{"operator", func() []Row { return plain.run(d, dims, runs) }})
		}
		if !o.Explore {
			continue
		}
		for _, chunk := range []int{c.chunk / 2, c.chunk * 2} {
			other := plain
			other.chunk = chunk
			jobs = append(jobs, job{"operator", func() []Row { return other.run(d, dims, runs) }})
		}
	}
	return all(ctx, o, jobs, emit)
}
