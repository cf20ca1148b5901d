package mamba2

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// apart is plain with x, B and C as products and convolutions of their own: a CPU spends more on joining their gradients than on
// three products instead of one.
type apart struct{ plain }

func (b *block) apart(l layerOf) bool {
	return b.tokens > 1 && !xla.HasKernels(l.params[conv].Graph().Backend())
}

// offsets are where x, B and C begin among the channels, and their end.
func (b *block) offsets() []int {
	inner, width := b.Inner(), b.Groups*b.Config.State
	return []int{0, inner, inner + width, inner + 2*width}
}

func (f apart) enter(l layerOf, r, window *Node) entered {
	in := entered{r: r}
	u := ConvertDType(rmsNorm(r, f.perRow(l.params[norm], 1), f.Eps), f.compute)
	inner, wide, at := f.Inner(), f.Inner()+f.Channels(), f.offsets()
	var raws, ys, afters []*Node
	for i, from := range at[:3] {
		raws = append(raws, f.columns(l, u, inner+from, inner+at[i+1], f.compute))
	}
	in.z, in.raw, in.dt = f.columns(l, u, 0, inner, f.compute), Concatenate(raws, -1), f.columns(l, u, wide, f.projection(), f.gate)
	in.proj = Concatenate([]*Node{in.z, in.raw}, -1)
	if f.compute == f.gate {
		in.proj = Concatenate([]*Node{in.proj, in.dt}, -1)
	}
	var windows []*inputs
	for i, raw := range raws {
		channels := AxisRange(at[i], at[i+1])
		w := f.window(l, raw, SliceAxis(window, 1, channels))
		bias := l.params[convBias]
		if f.ConvBias {
			bias = SliceAxis(bias, 1, channels)
		}
		y := f.taps(w.all, SliceAxis(l.params[conv], 1, channels), bias, f.tokens, maskOf(w.segs, l.segments)...)
		ys, windows = append(ys, ConvertDType(f.silu(y), f.compute)), append(windows, w)
		afters = append(afters, w.after())
	}
	in.after, in.windowsAt = Concatenate(afters, 1), func() *Node {
		var all []*Node
		for _, w := range windows {
			all = append(all, w.atEnds())
		}
		return Concatenate(all, 2)
	}
	in.conv = Concatenate(ys, -1)
	shape := func(x *Node, units, each int) *Node { return Reshape(x, f.batch, f.tokens, units, each) }
	in.x, in.b, in.c = shape(ys[0], f.Heads(), f.HeadDim), shape(ys[1], f.Groups, f.Config.State), shape(ys[2], f.Groups, f.Config.State)
	return in
}
