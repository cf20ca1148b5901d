package mamba2

import (
	"embed"
	"fmt"
	"math/bits"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// The kernels of kernels/block.py as Triton IR.
//
//go:embed kernels/*.ttir
var kernels embed.FS

const (
	widestGate = 8192 // channels of the largest gate kernel
	convTokens = 64   // tokens of a program of conv_forward, conv_backward has half
	convWidth  = 64   // channels of a program
)

// fuses tells whether kernels compute the convolution and the gated norm of this layer: official shapes in bfloat16 on
// an NVIDIA GPU, with nothing changed or watched inside.
func (b *block) fuses(l layerOf) bool {
	c := b.Config
	return b.compute == dtypes.BFloat16 && b.gate == dtypes.Float32 && !b.Plain && b.tokens > 1 && c.Kernel == 4 && c.ConvBias &&
		c.HeadDim == 64 && c.Eps == 1e-5 && (c.Groups == 1 || !c.NormPer) && c.Inner() <= widestGate && c.Channels()%16 == 0 &&
		l.segments == nil && len(b.probes) == 0 && len(l.controls) == 0 && !b.Decimate && xla.HasKernels(l.params[conv].Graph().Backend())
}

func (b *block) kernel(name string, grid [3]int, bind map[string]int) xla.Kernel {
	file := name
	if block := 256; name == "gate_forward" || name == "gate_backward" {
		if b.Inner() > block {
			block = 1 << bits.Len(uint(b.Inner()-1))
		}
		file = fmt.Sprintf("%s-%d", name, block)
	}
	source, err := kernels.ReadFile("kernels/" + file + ".ttir")
	if err != nil {
		panic(err)
	}
	bind["C"], bind["R"] = b.Channels(), b.Inner()+b.Channels()
	return xla.Kernel{Name: name, Source: string(source), Grid: grid, Warps: 4, Stages: 2}.Bind(bind)
}

// convKernel is SiLU of the convolution of the raw columns of proj [batch, tokens, z | x | B | C].
func (b *block) convKernel(l layerOf, proj, window *Node) *Node {
	c := b.Config
	tiles := func(size int) int { return (b.tokens + size - 1) / size }
	width := (c.Channels() + convWidth - 1) / convWidth
	bind := func() map[string]int {
		return map[string]int{"T": b.tokens, "OFF": c.Inner(), "ROWS": b.batch / b.replicas}
	}
	output := shapes.Make(dtypes.BFloat16, b.batch, b.tokens, c.Channels())
	return xla.CustomVJP(func(in []*Node) []*Node {
		return xla.TritonCall(b.kernel("conv_forward", [3]int{tiles(convTokens), width, b.batch}, bind()), []shapes.Shape{output}, in...)
	}, func(v []*Node) []*Node {
		in := []*Node{StopGradient(proj), StopGradient(window), StopGradient(l.params[conv]), StopGradient(l.params[convBias]), v[0]}
		n := tiles(convTokens / 2)
		outs := xla.TritonCall(b.kernel("conv_backward", [3]int{n, width, b.batch}, bind()),
			[]shapes.Shape{output, shapes.Make(dtypes.Float32, b.batch, n, 5, c.Channels())}, in...)
		sums := ReduceSum(Reshape(outs[1], b.replicas, b.batch/b.replicas*n, 5, c.Channels()), 1) // [replicas, 5, channels]
		weight := TransposeAllAxes(SliceAxis(sums, 1, AxisRange(0, 4)), 0, 2, 1)
		raw := SliceAxis(in[0], -1, AxisRangeToEnd(c.Inner()))
		return []*Node{padColumns(outs[0], c.Inner(), 0), b.windowGradient(in[1], raw, in[2], in[3], v[0]), weight, Squeeze(SliceAxis(sums, 1, AxisElem(4)), 1)}
	}, proj, window, l.params[conv], l.params[convBias])[0]
}

// windowGradient is that of the convolution's window, from the first kernel − 1 tokens alone.
func (b *block) windowGradient(window, raw, weight, bias, dout *Node) *Node {
	n := min(b.tokens, b.Kernel-1)
	first := func(x *Node) *Node { return ConvertDType(SliceAxis(x, 1, AxisRange(0, n)), b.gate) }
	y := silu(b.taps(Concatenate([]*Node{TransposeAllAxes(window, 0, 2, 1), first(raw)}, 1), weight, bias, n))
	return Gradient(ReduceAllSum(Mul(y, first(dout))), window)[0]
}

// gateKernel is RMSNorm((y + D x) ⊙ SiLU(z)) with x the first columns of conv and z those of proj.
func (b *block) gateKernel(l layerOf, y, convolved, proj *Node) *Node {
	inner, tokens := b.Inner(), b.batch*b.tokens
	rows := tokens / b.replicas
	bind := func(more map[string]int) map[string]int {
		more["INNER"], more["ROWS"] = inner, rows
		return more
	}
	output := shapes.Make(dtypes.BFloat16, b.batch, b.tokens, inner)
	d, w := l.params[skip], l.params[gateNorm] // [replicas, heads], [replicas, inner]
	return xla.CustomVJP(func(in []*Node) []*Node {
		return xla.TritonCall(b.kernel("gate_forward", [3]int{tokens}, bind(map[string]int{})), []shapes.Shape{output}, in...)
	}, func(v []*Node) []*Node {
		each := 32
		for rows%each != 0 {
			each /= 2
		}
		parts := tokens / each
		outs := xla.TritonCall(b.kernel("gate_backward", [3]int{parts}, bind(map[string]int{"EACH": each})),
			[]shapes.Shape{output, output, output, shapes.Make(dtypes.Float32, parts, 2, inner)},
			StopGradient(y), StopGradient(convolved), StopGradient(proj), StopGradient(d), StopGradient(w), v[0])
		sums := ReduceSum(Reshape(outs[3], b.replicas, parts/b.replicas, 2, inner), 1) // [replicas, 2, inner]
		dd := ReduceSum(Reshape(SliceAxis(sums, 1, AxisElem(1)), b.replicas, b.Heads(), b.HeadDim), -1)
		return []*Node{outs[0], padColumns(outs[1], 0, b.Channels()-inner), padColumns(outs[2], 0, b.Channels()), dd, Squeeze(SliceAxis(sums, 1, AxisElem(0)), 1)}
	}, y, convolved, proj, d, w)[0]
}

// padColumns puts zeros before and after the last axis.
func padColumns(x *Node, before, after int) *Node {
	dims := x.Shape().Dimensions
	parts := []*Node{x}
	if before > 0 {
		parts = append([]*Node{Zeros(x.Graph(), shapes.Make(x.DType(), dims[0], dims[1], before))}, parts...)
	}
	if after > 0 {
		parts = append(parts, Zeros(x.Graph(), shapes.Make(x.DType(), dims[0], dims[1], after)))
	}
	return Concatenate(parts, -1)
}
