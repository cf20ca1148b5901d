package mamba2

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// layerOf is what one layer is given.
type layerOf struct {
	params, controls               map[string]*Node
	length, segments, ends, offset *Node
	it                             *xla.Iter
}

// apply is one block on the residual stream r [batch, tokens, width] with the layer's part of the state, in the order
// of Model.State. Decimation shortens layer.length.
func (b *block) apply(layer *layerOf, r *Node, state []*Node) (residual *Node, after, probes []*Node) {
	c, l := b.Config, *layer
	h, p, n, groups, inner := c.Heads(), c.HeadDim, c.State, c.Groups, c.Inner()
	shape := func(x *Node, dims ...int) *Node { return Reshape(x, append([]int{b.batch, b.tokens}, dims...)...) }
	part := func(x *Node, from, to int) *Node { return SliceAxis(x, -1, AxisRange(from, to)) }

	var u *Node
	if b.fuses(l) && !b.Infer {
		u, r = b.normTrained(r, l.params[norm])
	} else {
		u = rmsNorm(r, b.perRow(l.params[norm], 1), c.Eps)
	}
	proj, z, raw, dt, raws := b.project(l, u)
	var conv, windowAfter, x, bt, ct *Node
	var windowsAt func() *Node
	if b.apart(l) {
		var ys []*Node
		ys, windowAfter, windowsAt = b.convolveParts(l, raws, state[1])
		conv, x, bt, ct = Concatenate(ys, -1), shape(ys[0], h, p), shape(ys[1], groups, n), shape(ys[2], groups, n)
	} else {
		conv, windowAfter, windowsAt = b.convolve(l, proj, raw, state[1])
		x = shape(part(conv, 0, inner), h, p)
		bt = shape(part(conv, inner, inner+groups*n), groups, n)
		ct = shape(part(conv, inner+groups*n, c.Channels()), groups, n)
	}

	x, bt = b.contents(l, x, bt)
	delta, logAlpha, write := b.gates(l, dt)
	if some := b.choose(l, delta); some != nil {
		for _, x := range []**Node{&x, &bt, &ct, &z, &r, &delta, &logAlpha, &write} {
			if *x != nil {
				*x = some.take(*x)
			}
		}
		l.length, layer.length = some.length, some.length
		delta, logAlpha = b.realTokens(l, delta), b.realTokens(l, logAlpha)
	}
	op := recurrence.Operands{X: x, Delta: delta, LogAlpha: logAlpha, Write: write, B: bt, C: ct, Initial: state[0], Segments: l.segments}
	if !b.Plain && !b.Decimate && !l.rewrites() {
		op.XBC = conv
	}
	if b.fuses(l) {
		op.D = l.params[skip]
		if op.Fresh = b.fresh; b.fresh {
			op.Initial = nil
		}
	}
	mixed := b.recur(l, op, state)
	var y, normed *Node
	if b.fuses(l) {
		y16 := Reshape(ConvertDType(mixed.y, b.compute), b.batch, b.tokens, inner)
		if b.Infer {
			normed = b.gateKernel(y16, proj, l.params[gateNorm])
		} else {
			normed = b.gateTrained(y16, z, l.params[gateNorm])
		}
	} else {
		y = recurrence.Skip(mixed.y, x, b.perRow(Reshape(l.params[skip], b.replicas, h, 1), 1))
		y = shape(b.change(l, "y_scale", y, func(y, by *Node) *Node { return Mul(y, InsertAxes(by, -1)) }), inner)
		normed = b.gatedNorm(Mul(y, b.silu(ConvertDType(z, b.gate))), b.perRow(l.params[gateNorm], 1))
	}
	out := b.linear(ConvertDType(normed, b.compute), l.params[outWeight], b.gate)
	if c.UseBias {
		out = Add(out, b.perRow(l.params[outBias], 1))
	}
	residual = Add(r, out)

	probes = b.watch(seen{l, op, mixed, state[1], proj, dt, raw, conv, windowsAt, y, normed, out, residual})
	return residual, append([]*Node{mixed.state, windowAfter}, mixed.more...), probes
}

// project is W_in u: z | x | B | C (| dt in the same product when all is one dtype) and its parts z and x | B | C, and dt
// in the gates' dtype. Where kernels give the gradients of the parts, each is a product of its own and there is no whole.
// On other processors x, B and C are apart too.
func (b *block) project(l layerOf, u *Node) (proj, z, raw, dt *Node, parts []*Node) {
	c := b.Config
	inner, wide, w := c.Inner(), c.Inner()+c.Channels(), l.params[inWeight]
	part := func(from, to int) *Node { return SliceAxis(proj, -1, AxisRange(from, to)) }
	bias := func(y *Node, from, to int) *Node {
		if !c.UseBias {
			return y
		}
		return Add(y, ConvertDType(SliceAxis(b.perRow(l.params[inBias], 1), -1, AxisRange(from, to)), y.DType()))
	}
	if b.compute == b.gate && !b.apart(l) {
		proj = b.keep(l, "proj", bias(b.linear(u, w, b.gate), 0, c.projection()))
		return proj, part(0, inner), part(inner, wide), part(wide, c.projection()), nil
	}
	u = ConvertDType(u, b.compute)
	product := func(from, to int, out dtypes.DType) *Node {
		return b.keep(l, "proj", bias(b.linear(u, SliceAxis(w, 1, AxisRange(from, to)), out), from, to))
	}
	if b.fuses(l) && !b.Infer {
		return nil, product(0, inner, b.compute), product(inner, wide, b.compute), product(wide, c.projection(), b.gate), nil
	}
	if b.apart(l) {
		for i, from := range b.offsets()[:3] {
			parts = append(parts, product(inner+from, inner+b.offsets()[i+1], b.compute))
		}
		z, raw, dt = product(0, inner, b.compute), Concatenate(parts, -1), product(wide, c.projection(), b.gate)
		proj = Concatenate([]*Node{z, raw}, -1)
		if b.compute == b.gate {
			proj = Concatenate([]*Node{proj, dt}, -1)
		}
		return proj, z, raw, dt, parts
	}
	proj = product(0, wide, b.compute)
	return proj, part(0, inner), part(inner, wide), product(wide, c.projection(), b.gate), nil
}

// apart tells whether x, B and C are products and convolutions of their own: a CPU spends more on joining their gradients
// than on three products instead of one.
func (b *block) apart(l layerOf) bool {
	return b.tokens > 1 && !xla.HasKernels(l.params[conv].Graph().Backend())
}

// offsets are where x, B and C begin among the channels, and their end.
func (b *block) offsets() []int {
	inner, width := b.Inner(), b.Groups*b.Config.State
	return []int{0, inner, inner + width, inner + 2*width}
}

// convolveParts is convolve of x, B and C, each for itself.
func (b *block) convolveParts(l layerOf, raws []*Node, window *Node) (ys []*Node, after *Node, at func() *Node) {
	var afters []*Node
	var ats []func() *Node
	for i, raw := range raws {
		own := l
		channels := AxisRange(b.offsets()[i], b.offsets()[i+1])
		own.params = map[string]*Node{conv: SliceAxis(l.params[conv], 1, channels)}
		if b.ConvBias {
			own.params[convBias] = SliceAxis(l.params[convBias], 1, channels)
		}
		y, next, at := b.convolve(own, nil, raw, SliceAxis(window, 1, channels))
		ys, afters, ats = append(ys, y), append(afters, next), append(ats, at)
	}
	return ys, Concatenate(afters, 1), func() *Node {
		var windows []*Node
		for _, at := range ats {
			windows = append(windows, at())
		}
		return Concatenate(windows, 2)
	}
}

// keep stores a value for the backward where the policy says so: none, proj (the in-projection) or all (and the
// recurrence's output), the default.
func (b *block) keep(l layerOf, what string, n *Node) *Node {
	if b.Infer || b.Save == "none" || (b.Save == "proj" && what != "proj") {
		return n
	}
	return l.it.Save(n)
}

// convolve is SiLU(causal depthwise convolution) of raw [batch, tokens, channels] with the carried window
// [batch, channels, kernel]; it returns the window after the last token and, on demand, those after Ends.
func (b *block) convolve(l layerOf, proj, raw, window *Node) (y, after *Node, at func() *Node) {
	g, k := raw.Graph(), b.Kernel
	if b.fuses(l) && !b.Infer {
		y, after = b.convTrained(l, raw, window)
		return y, after, nil
	}
	past := TransposeAllAxes(window, 0, 2, 1)
	all := Concatenate([]*Node{ConvertDType(past, raw.DType()), raw}, 1) // [batch, kernel + tokens, channels]
	var segs *Node
	if l.segments != nil {
		segs = Concatenate([]*Node{Zeros(g, shapes.Make(dtypes.Int32, b.batch, k)), l.segments}, 1)
	}
	if b.fuses(l) {
		y = b.convKernel(l, proj, b.Inner(), window)
	} else {
		y = ConvertDType(b.silu(b.taps(all, l.params[conv], l.params[convBias], b.tokens, maskOf(segs, l.segments)...)), b.compute)
	}

	rowsAt := func(ends *Node) *Node { // windows after the tokens ends (int32 [n]): [n, batch, channels, kernel]
		n := ends.Shape().Dim(0)
		idx := Add(Reshape(ends, 1, n, 1), AddScalar(Iota(g, shapes.Make(dtypes.Int32, b.batch, n, k), 2), 1))
		rows := gatherTokens(all, idx)
		if segs != nil {
			of := gatherTokens(InsertAxes(segs, -1), idx)
			own := SliceAxis(of, 2, AxisElem(k-1))
			same := Equal(of, own)
			rows = Where(BroadcastToShape(same, shapes.Make(dtypes.Bool, rows.Shape().Dimensions...)), rows, ZerosLike(rows))
		}
		return ConvertDType(TransposeAllAxes(rows, 1, 0, 3, 2), b.gate)
	}
	switch {
	case l.length != nil:
		after = Squeeze(rowsAt(Reshape(AddScalar(l.length, -1), 1)), 0)
	case segs != nil:
		after = Squeeze(rowsAt(Const(g, []int32{int32(b.tokens - 1)})), 0)
	default:
		after = ConvertDType(TransposeAllAxes(SliceAxis(all, 1, AxisRange(b.tokens, b.tokens+k)), 0, 2, 1), b.gate)
	}
	return y, after, func() *Node { return rowsAt(l.ends) }
}

// taps is the convolution of n tokens that follow kernel ones in all [batch, kernel + n, channels]; same, if given, says
// of each tap where it belongs to the token's own document.
func (b *block) taps(all, weight, bias *Node, n int, same ...func(from int) *Node) (y *Node) {
	k := b.Kernel
	weights := b.perRow(weight, 1) // [batch or 1, 1, channels, kernel]
	for i := range k {             // tap i sees the token k − 1 − i before the current one
		tap := ConvertDType(SliceAxis(all, 1, AxisRange(i+1, i+1+n)), b.gate)
		for _, f := range same {
			if i < k-1 {
				tap = Where(BroadcastToShape(f(i+1), shapes.Make(dtypes.Bool, tap.Shape().Dimensions...)), tap, ZerosLike(tap))
			}
		}
		term := Mul(tap, Squeeze(SliceAxis(weights, -1, AxisElem(i)), -1))
		if y == nil {
			y = term
		} else {
			y = Add(y, term)
		}
	}
	if b.ConvBias {
		y = Add(y, b.perRow(bias, 1))
	}
	return y
}

// maskOf tells by tap which tokens have the same segment as the current one.
func maskOf(segs, segments *Node) []func(from int) *Node {
	if segs == nil {
		return nil
	}
	n := segments.Shape().Dim(1)
	return []func(from int) *Node{func(from int) *Node {
		return InsertAxes(Equal(SliceAxis(segs, 1, AxisRange(from, from+n)), segments), -1)
	}}
}

// gatherTokens takes rows idx [batch, n, k] of x [batch, tokens, channels].
func gatherTokens(x, idx *Node) *Node {
	batch, tokens, ch := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	flat := Add(idx, MulScalar(Iota(x.Graph(), idx.Shape(), 0), tokens))
	return Gather(Reshape(x, batch*tokens, ch), InsertAxes(flat, -1))
}

// recurred is what the recurrence gave, by whichever form.
type recurred struct {
	y, state *Node
	moments  func() (sum, squares *Node)
	at       func(ends *Node) *Node
	each     func(ends *Node, f func(h *Node) *Node) *Node
	ends     func(every int, f func(h *Node) *Node) *Node // recurrence.Result.EachEnd, or nil
	buckets  func(every int, length *Node) *Node          // recurrence.Result.Statistics, or nil
	more     []*Node                                      // of the state, after the convolution's
}

// recur runs one token with Step and more with Chunk, or what the variant of the model asks for.
func (b *block) recur(l layerOf, op recurrence.Operands, state []*Node) recurred {
	switch {
	case b.Window > 0:
		return b.recurWindow(l, op, state)
	case b.NormEvery > 0:
		return b.recurLimited(l, op)
	}
	if b.tokens > 1 || op.Segments != nil || !b.Infer {
		if !b.Infer {
			op.Keep = func(n *Node) *Node { return b.keep(l, "ssd", n) }
		}
		r := recurrence.Chunk(op, min(b.Chunk, max(b.tokens, 1)))
		return recurred{r.Y, r.State, r.Moments, r.StatesAt, r.EachStateAt, r.EachEnd, r.Statistics, nil}
	}
	one := func(x *Node) *Node { return Squeeze(x, 1) }
	write := op.Delta
	if op.Write != nil {
		write = op.Write
	}
	return ofOneToken(recurrence.Step(one(op.X), one(write), one(op.LogAlpha), one(op.B), one(op.C), op.Initial))
}

func ofOneToken(y, state *Node) recurred {
	at := func(ends *Node) *Node { // the one token, as often as asked for
		return Concatenate(slices.Repeat([]*Node{InsertAxes(state, 0)}, ends.Shape().Dim(0)), 0)
	}
	moments := func() (sum, squares *Node) {
		wide := ConvertDType(state, dtypes.Float64)
		return InsertAxes(ReduceSum(wide, -1, -2), 1), InsertAxes(ReduceSum(Square(wide), -1, -2), 1)
	}
	each := func(ends *Node, f func(h *Node) *Node) *Node { return f(at(ends)) }
	return recurred{InsertAxes(y, 1), state, moments, at, each, nil, nil, nil}
}

// gatedNorm is RMSNorm over all channels or per group.
func (b *block) gatedNorm(x, w *Node) *Node {
	if !b.NormPer || b.Groups == 1 {
		return rmsNorm(x, w, b.Eps)
	}
	dims := x.Shape().Dimensions
	split := Reshape(x, dims[0], dims[1], b.Groups, dims[2]/b.Groups)
	mean := ReduceAndKeep(Square(split), ReduceMean, -1)
	return Mul(Reshape(Mul(split, Rsqrt(AddScalar(mean, b.Eps))), dims...), w)
}

func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }

// silu ends in a division in an unrolled step: XLA on a CPU computes that once, and a product anew for every entry of the
// state that it enters. Forward keeps the product: with a division its bits would depend on whether controls are there.
func (b *block) silu(x *Node) *Node {
	if b.unrolled {
		return Div(x, AddScalar(Exp(Neg(x)), 1))
	}
	return silu(x)
}
