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
	name    string
	chunk   int
	inputs  []drawn
	build   func(in []*Node, chunk int, plain bool) *Node // returns y; products are in the dtype that models use; plain: without kernels
	note    string
	kernels bool // there are some for NVIDIA GPUs
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
	rule := func(in []*Node, chunk int, plain bool) *Node { // decays are the last input, if there are any
		var log *Node
		if len(in) > 4 {
			log = in[4]
		}
		op := delta.Rule(MulScalar(f32(in[0]), scale), f32(in[1]), f32(in[2]), log, in[3])
		op.Half, op.NoKernels = !plain, plain
		return delta.Chunk(op, chunk).Y
	}
	const single = "in float32, products in TF32, where no kernel is"
	return []operatorCase{
		{"retention", 64, []drawn{q, k, v}, func(in []*Node, chunk int, _ bool) *Node {
			log := make([]float32, d.Heads)
			for h, g := range fixeddecay.Retention(d.Heads) {
				log[h] = float32(g)
			}
			y, _ := fixeddecay.Chunk(fixeddecay.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], LogDecay: Const(in[0].Graph(), log)}, chunk)
			return y
		}, "", false},
		{"gla", 64, []drawn{q, k, v, gate}, func(in []*Node, chunk int, plain bool) *Node {
			y, _ := vectorgate.Chunk(vectorgate.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], LogDecay: in[3], NoKernels: plain}, chunk)
			return y
		}, "HGRN-2 is the same operator", true},
		{"rwkv6", 64, []drawn{q, k, v, gate, {[]int{d.Heads, d.Key}, f32}}, func(in []*Node, chunk int, plain bool) *Node {
			y, _ := vectorgate.Chunk(vectorgate.Operands{Q: in[0], K: in[1], V: in[2], LogDecay: in[3], Bonus: in[4], NoKernels: plain}, chunk)
			return y
		}, "", true},
		{"delta rule", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta}, rule, single, true},
		{"gated delta rule", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta, perHead(decay)}, rule, single, true},
		{"kda", 64, []drawn{wide(d.Key, unit), wide(d.Key, unit), v, beta, gate}, rule, single, true},
		{"rwkv7", 64, []drawn{q, k, v, gate, wide(d.Key, unit), beta}, func(in []*Node, chunk int, plain bool) *Node {
			read := f32(in[4])
			return delta.Chunk(delta.Operands{Q: f32(in[0]), K: f32(in[1]), V: f32(in[2]), LogDecay: in[3], Read: read,
				Erase: Mul(read, InsertAxes(in[5], -1)), Half: !plain, NoKernels: plain}, chunk).Y
		}, single, true},
		{"attention", 128, []drawn{q, k, v}, func(in []*Node, block int, plain bool) *Node {
			return attention.Chunk(attention.Operands{Q: MulScalar(in[0], scale), K: in[1], V: in[2], NoKernels: plain}, block).Y
		}, "in float32 where no kernel is", true},
		{"rwkv4", 16, []drawn{channels(f32), channels(f32), {[]int{d.Heads * d.Value}, decay}, {[]int{d.Heads * d.Value}, f32}}, func(in []*Node, chunk int, _ bool) *Node {
			y, _ := logsum.Chunk(logsum.Operands{K: in[0], V: in[1], LogDecay: in[2], Bonus: in[3]}, chunk)
			return y
		}, "float32", false},
		{"selective scan N16", 64, []drawn{channels(bf16), channels(func(x *Node) *Node { return MulScalar(Sigmoid(x), 0.1) }),
			{[]int{d.Heads * d.Value, 16}, func(x *Node) *Node { return Neg(Exp(x)) }}, {[]int{d.Batch, d.Tokens, 16}, bf16}, {[]int{d.Batch, d.Tokens, 16}, bf16}},
			func(in []*Node, chunk int, _ bool) *Node {
				y, _ := selectivescan.Chunk(selectivescan.Operands{X: in[0], Delta: in[1], A: in[2], B: in[3], C: in[4]}, chunk)
				return y
			}, "flash-linear-attention has no kernel for it", false},
	}
}

// run times the forward pass, and forward and backward with gradients for all inputs, in milliseconds: by kernels where the device has
// them, unless plain.
func (c operatorCase) run(d *xla.Device, dims OperatorDims, runs int, plain bool) []Row {
	form := fmt.Sprintf("graph, chunk %d", c.chunk)
	if !plain && c.fuses(d) {
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
	forward := time("forward", in, func(in []*Node) []*Node { return []*Node{bf16(c.build(in, c.chunk, plain))} })
	both := time("forward+backward", append(in, cotangent), func(in []*Node) []*Node {
		last := len(in) - 1
		y := c.build(in[:last], c.chunk, plain)
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

// fuses tells whether the device has kernels for the operator.
func (c operatorCase) fuses(d *xla.Device) bool { return c.kernels && xla.HasKernels(d.Backend) }

// operators times every operator at the sizes of flash-linear-attention's benchmarks, batch 16 and 2,048 tokens; with
// Options.Explore also at other chunk lengths.
func operators(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	dims, runs := OperatorDims{Batch: 16, Tokens: 2048, Heads: 16, Key: 64, Value: 64}, 10
	if d.Kind != "cuda" {
		dims, runs = OperatorDims{Batch: 1, Tokens: 512, Heads: 4, Key: 64, Value: 64}, 3
	}
	cases := operatorCases(dims)
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	for _, name := range o.Operators {
		if !slices.Contains(names, name) {
			return fmt.Errorf("operators: %q is unknown; choose from %s", name, strings.Join(names, ", "))
		}
	}
	var jobs []job
	add := func(c operatorCase, plain bool) {
		jobs = append(jobs, job{"operator", func() []Row { return c.run(d, dims, runs, plain) }})
	}
	for _, c := range cases {
		if len(o.Operators) > 0 && !slices.Contains(o.Operators, c.name) {
			continue
		}
		add(c, false)
		if c.fuses(d) {
			add(c, true)
		}
		if !o.Explore {
			continue
		}
		for _, chunk := range []int{c.chunk / 2, c.chunk * 2} {
			other := c
			other.chunk = chunk
			add(other, true)
		}
	}
	return all(ctx, o, jobs, emit)
}
