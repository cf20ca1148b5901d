package mamba2

import (
	"embed"
	"math/bits"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// The kernels of kernels/block.py and kernels/step.py as Triton IR.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

const (
	widest       = 8192 // channels of the largest kernels of norms
	convWidth    = 256  // channels of a program of the convolution
	convPrograms = 2048 // that keep a large GPU busy; fewer are multiplied by shorter segments
	normTokens   = 32   // of a program of a norm's gradient, at most
)

// fuses tells whether kernels compute the convolution and the gated norm of this layer, and the recurrence D x: official
// shapes in bfloat16 on an NVIDIA GPU, with nothing changed or watched inside.
func (b *block) fuses(l layerOf) bool {
	c := b.Config
	return b.suitsKernels() && b.tokens >= c.Kernel && max(c.Inner(), c.Width) <= widest && c.Width%16 == 0 && c.Channels()%16 == 0 &&
		l.segments == nil && (len(b.probes) == 0 || b.Infer && !b.watchesInside()) && len(l.controls) == 0 &&
		xla.HasKernels(l.params[conv].Graph().Backend())
}

// fusedReading is plain with kernels for convolution and gated norm, without gradients.
type fusedReading struct{ plain }

func (f fusedReading) enter(l layerOf, r, window *Node) entered {
	in := entered{r: r}
	u := rmsNorm(r, f.perRow(l.params[norm], 1), f.Eps)
	in.proj, in.z, in.raw, in.dt = f.project(l, u)
	w := f.window(l, in.raw, window)
	in.conv = f.convKernel(l, in.proj, f.Inner(), window)
	in.after, in.windowsAt = w.after(), w.atEnds
	return f.split(in)
}

func (f fusedReading) operands(l layerOf, op *recurrence.Operands) { op.D = l.params[skip] }

func (f fusedReading) leave(l layerOf, in entered, _, y *Node) (_, normed *Node) {
	y = Reshape(ConvertDType(y, f.compute), f.batch, f.tokens, f.Inner())
	return nil, f.gateKernel(y, in.proj, l.params[gateNorm])
}

// fusedTraining is plain with kernels for norms, convolution and gate and their gradients. As these give the gradients of the parts of
// W_in u, each is a product of its own and there is no whole.
type fusedTraining struct{ plain }

func (f fusedTraining) enter(l layerOf, r, window *Node) entered {
	var in entered
	var u *Node
	u, in.r = f.normTrained(r, l.params[norm])
	u = ConvertDType(u, f.compute)
	inner, wide := f.Inner(), f.Inner()+f.Channels()
	in.z, in.raw = f.columns(l, u, 0, inner, f.compute), f.columns(l, u, inner, wide, f.compute)
	in.dt = f.columns(l, u, wide, f.projection(), f.gate)
	in.conv, in.after = f.convTrained(l, in.raw, window)
	return f.split(in)
}

func (f fusedTraining) operands(l layerOf, op *recurrence.Operands) {
	op.D = l.params[skip]
	if op.ZeroState = f.fresh; f.fresh {
		op.Initial = nil
	}
}

func (f fusedTraining) leave(l layerOf, in entered, _, y *Node) (_, normed *Node) {
	y = Reshape(ConvertDType(y, f.compute), f.batch, f.tokens, f.Inner())
	return nil, f.gateTrained(y, in.z, l.params[gateNorm])
}

// suitsKernels tells whether shapes, dtypes and options are those that the kernels of a sequence and of a step know.
func (b *block) suitsKernels() bool {
	c := b.Config
	return b.compute == dtypes.BFloat16 && b.gate == dtypes.Float32 && !b.NoKernels && c.Kernel == 4 && c.ConvBias && c.HeadDim == 64 && c.Eps == 1e-5 &&
		(c.Groups == 1 || !c.NormPer) && b.Window == 0 && b.NormEvery == 0 && !b.Decimate
}

// watchesInside tells whether a probe is of what the kernels do not write, or write in another dtype.
func (b *block) watchesInside() bool {
	for _, name := range b.probes {
		switch name {
		case "delta", "log_alpha", "sum", "squares", lm.States, windowsProbe, inputsProbe, "x", "B", "C":
		default:
			return true
		}
	}
	return false
}

func (b *block) kernel(name string, grid [3]int, bind map[string]int) xla.Kernel {
	warps, sizes := 4, []int(nil)
	if width := bind["INNER"] + bind["WIDTH"]; !strings.HasPrefix(name, "conv") { // one of both, of a row
		size := max(256, power(width))
		sizes = []int{size}
		warps = min(max(size/512, 1), 8)
		if strings.HasSuffix(name, "backward") {
			warps = min(max(size/256, 1), 8)
		}
	}
	k := kernels.Kernel(name, sizes...)
	k.Grid, k.Warps, k.Stages = grid, warps, 2
	return k.Bind(bind)
}

// power is the least power of two that is not below n.
func power(n int) int { return 1 << bits.Len(uint(n-1)) }

// convSegment is how many tokens a program of the convolution walks along.
func (b *block) convSegment() int {
	segment := 64
	for blocks := (b.Channels() + convWidth - 1) / convWidth; segment > 8 && b.batch*blocks*((b.tokens+segment-1)/segment) < convPrograms; {
		segment /= 2
	}
	return segment
}

// convKernel is SiLU of the convolution of the columns of proj [batch, tokens, …] from offset on.
func (b *block) convKernel(l layerOf, proj *Node, offset int, window *Node) *Node {
	segment := b.convSegment()
	k := b.kernel("conv_forward", b.convGrid(segment), map[string]int{"T": b.tokens, "C": b.Channels(), "R": proj.Shape().Dim(-1), "OFF": offset,
		"ROWS": b.batch / b.members, "SEG": segment})
	return xla.TritonCall(k, []shapes.Shape{shapes.Make(dtypes.BFloat16, b.batch, b.tokens, b.Channels())},
		proj, window, l.params[conv], l.params[convBias])[0]
}

func (b *block) convGrid(segment int) [3]int {
	return [3]int{(b.tokens + segment - 1) / segment, (b.Channels() + convWidth - 1) / convWidth, b.batch}
}

// convTrained is convKernel of raw [batch, tokens, channels] with its gradient, and the window that it leaves.
func (b *block) convTrained(l layerOf, raw, window *Node) (y, after *Node) {
	channels, inner, k := b.Channels(), b.Inner(), b.Kernel
	weight, bias := l.params[conv], l.params[convBias]
	outs := xla.CustomVJP(func(in []*Node) []*Node {
		stopped := l
		stopped.params = map[string]*Node{conv: in[2], convBias: in[3]}
		last := SliceAxis(in[0], 1, AxisRange(b.tokens-k, b.tokens))
		return []*Node{b.convKernel(stopped, in[0], 0, in[1]), ConvertDType(TransposeAllAxes(last, 0, 2, 1), b.gate)}
	}, func(v []*Node) []*Node {
		dx, rest := b.parts(v[0], inner)
		dAfter := v[1]
		if dAfter == nil {
			dAfter = Zeros(raw.Graph(), window.Shape())
		}
		segment := b.convSegment()
		grid := b.convGrid(segment)
		kernel := b.kernel("conv_backward", grid, map[string]int{"T": b.tokens, "C": channels, "R": channels, "OFF": 0, "INNER": inner,
			"ROWS": b.batch / b.members, "SEG": segment})
		outs := xla.TritonCall(kernel, []shapes.Shape{raw.Shape(), window.Shape(), shapes.Make(dtypes.Float32, b.batch, grid[0], k+1, channels)},
			StopGradient(raw), StopGradient(window), StopGradient(weight), StopGradient(bias), dx, rest, dAfter)
		sums := ReduceSum(Reshape(outs[2], b.members, -1, k+1, channels), 1) // [members, taps and bias, channels]
		dWeight := TransposeAllAxes(SliceAxis(sums, 1, AxisRange(0, k)), 0, 2, 1)
		return []*Node{outs[0], outs[1], dWeight, Squeeze(SliceAxis(sums, 1, AxisElem(k)), 1)}
	}, raw, window, weight, bias)
	return outs[0], outs[1]
}

// parts are the first n channels of v and the others; those of a concatenation are taken as they are, without a copy.
func (b *block) parts(v *Node, n int) (first, rest *Node) {
	part := func(from, to int) *Node { return SliceAxis(v, -1, AxisRange(from, to)) }
	if v.Type() == NodeTypeConcatenate {
		if in := v.Inputs(); len(in) == 2 && in[0].Shape().Dim(-1) == n {
			return in[0], in[1]
		}
	}
	return part(0, n), part(n, v.Shape().Dim(-1))
}

// gateKernel is RMSNorm(y ⊙ SiLU(z)) with y [batch, tokens, inner] and z the first columns of proj.
func (b *block) gateKernel(y, proj, weight *Node) *Node {
	tokens := b.batch * b.tokens
	k := b.kernel("gate_forward", [3]int{tokens}, map[string]int{"INNER": b.Inner(), "R": proj.Shape().Dim(-1), "ROWS": tokens / b.members})
	return xla.TritonCall(k, []shapes.Shape{y.Shape()}, y, proj, weight)[0]
}

// perProgram is how many tokens of one model a program of a norm's gradient takes.
func (b *block) perProgram() int {
	per := normTokens
	for b.batch/b.members*b.tokens%per != 0 {
		per /= 2
	}
	return per
}

// gateTrained is gateKernel with its gradient; z stands alone.
func (b *block) gateTrained(y, z, weight *Node) *Node {
	inner, tokens := b.Inner(), b.batch*b.tokens
	return xla.CustomVJP(func(in []*Node) []*Node {
		return []*Node{b.gateKernel(in[0], in[1], in[2])}
	}, func(v []*Node) []*Node {
		per := b.perProgram()
		k := b.kernel("gate_backward", [3]int{tokens / per}, map[string]int{"INNER": inner, "R": inner, "ROWS": tokens / b.members, "PER": per})
		outs := xla.TritonCall(k, []shapes.Shape{y.Shape(), z.Shape(), shapes.Make(dtypes.Float32, tokens/per, inner)},
			StopGradient(y), StopGradient(z), StopGradient(weight), v[0])
		return []*Node{outs[0], outs[1], ReduceSum(Reshape(outs[2], b.members, -1, inner), 1)}
	}, y, z, weight)[0]
}

// normTrained is the norm of r [batch, tokens, width] in the dtype of the products, and r itself, whose gradients become
// one.
func (b *block) normTrained(r, weight *Node) (u, same *Node) {
	width, tokens := b.Width, b.batch*b.tokens
	outs := xla.CustomVJP(func(in []*Node) []*Node {
		k := b.kernel("norm_forward", [3]int{tokens}, map[string]int{"WIDTH": width, "ROWS": tokens / b.members})
		return append(xla.TritonCall(k, []shapes.Shape{shapes.Make(dtypes.BFloat16, r.Shape().Dimensions...)}, in...), in[0])
	}, func(v []*Node) []*Node {
		past, per := v[1], b.perProgram()
		if past == nil {
			past = ZerosLike(r)
		}
		k := b.kernel("norm_backward", [3]int{tokens / per}, map[string]int{"WIDTH": width, "ROWS": tokens / b.members, "PER": per})
		outs := xla.TritonCall(k, []shapes.Shape{r.Shape(), shapes.Make(dtypes.Float32, tokens/per, width)},
			StopGradient(r), StopGradient(weight), v[0], past)
		return []*Node{outs[0], ReduceSum(Reshape(outs[1], b.members, -1, width), 1)}
	}, r, weight)
	return outs[0], outs[1]
}
