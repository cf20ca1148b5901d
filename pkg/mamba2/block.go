package mamba2

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
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
	l := *layer
	f := b.formOf(l)
	in := f.enter(l, r, state[1]) // u = norm(r); z, x, B, C, dt = parts of W_in u, x, B, C through convolution and SiLU
	x, bt := b.contents(l, in.x, in.b)
	delta, logAlpha, write := b.gates(l, in.dt)
	if some := b.choose(l, delta); some != nil {
		for _, x := range []**Node{&x, &bt, &in.c, &in.z, &in.r, &delta, &logAlpha, &write} {
			if *x != nil {
				*x = some.take(*x)
			}
		}
		l.length, layer.length = some.length, some.length
		delta, logAlpha = b.realTokens(l, delta), b.realTokens(l, logAlpha)
	}
	op := recurrence.Operands{X: x, Delta: delta, LogAlpha: logAlpha, Write: write, B: bt, C: in.c, Initial: state[0], Segments: l.segments}
	if !b.NoKernels && !b.Decimate && !l.rewrites() {
		op.XBC = in.conv
	}
	f.operands(l, &op)
	mixed := b.recur(l, op, state) // h_t = α_t h_{t−1} + Δ_t x_t B_tᵀ, y_t = h_t C_t
	y, normed := f.leave(l, in, x, mixed.y)
	out := b.linear(ConvertDType(normed, b.compute), l.params[outWeight], b.gate)
	if b.UseBias {
		out = Add(out, b.perRow(l.params[outBias], 1))
	}
	residual = Add(in.r, out)
	probes = b.watch(seen{l, op, mixed, state[1], in, y, normed, out, residual})
	return residual, append([]*Node{mixed.state, in.after}, mixed.more...), probes
}

// form is a way to compute the parts of a block before and after the recurrence. All give what plain gives.
type form interface {
	enter(l layerOf, r, window *Node) entered
	operands(l layerOf, op *recurrence.Operands)               // what else the recurrence takes over
	leave(l layerOf, in entered, x, y *Node) (_, normed *Node) // y + D x, nil if it was taken over, and norm((y + D x) ⊙ SiLU(z))
}

// formOf is the one choice between them.
func (b *block) formOf(l layerOf) form {
	switch {
	case b.fuses(l) && b.Infer:
		return fusedReading{plain{b}}
	case b.fuses(l):
		return fusedTraining{plain{b}}
	case b.apart(l):
		return apart{plain{b}}
	}
	return plain{b}
}

// entered is what a layer reads of the residual stream.
type entered struct {
	r             *Node        // the residual stream itself
	proj, raw, dt *Node        // W_in u, or nil; the part x | B | C of it; the part dt, in the gates' dtype
	conv          *Node        // x | B | C after convolution and SiLU
	z, x, b, c    *Node        // [batch, tokens, inner], [.., heads, headDim], twice [.., groups, state]
	after         *Node        // window of the convolution after the tokens
	windowsAt     func() *Node // after the tokens of Ends
}

// plain is the block as the package comment has it.
type plain struct{ *block }

func (f plain) enter(l layerOf, r, window *Node) entered {
	in := entered{r: r}
	u := rmsNorm(r, f.perRow(l.params[norm], 1), f.Eps)
	in.proj, in.z, in.raw, in.dt = f.project(l, u)
	w := f.window(l, in.raw, window)
	in.conv = ConvertDType(f.silu(f.taps(w.all, l.params[conv], l.params[convBias], f.tokens, maskOf(w.segs, l.segments)...)), f.compute)
	in.after, in.windowsAt = w.after(), w.atEnds
	return f.split(in)
}

// split is x, B and C of the channels.
func (f plain) split(in entered) entered {
	at := f.offsets()
	part := func(i, units, each int) *Node {
		return Reshape(SliceAxis(in.conv, -1, AxisRange(at[i], at[i+1])), f.batch, f.tokens, units, each)
	}
	in.x, in.b, in.c = part(0, f.Heads(), f.HeadDim), part(1, f.Groups, f.Config.State), part(2, f.Groups, f.Config.State)
	return in
}

func (f plain) operands(layerOf, *recurrence.Operands) {}

func (f plain) leave(l layerOf, in entered, x, y *Node) (_, normed *Node) {
	y = recurrence.Skip(y, x, f.perRow(Reshape(l.params[skip], f.members, f.Heads(), 1), 1))
	y = f.change(l, "y_scale", y, func(y, by *Node) *Node { return Mul(y, InsertAxes(by, -1)) })
	y = Reshape(y, f.batch, f.tokens, f.Inner())
	return y, f.gatedNorm(Mul(y, f.silu(ConvertDType(in.z, f.gate))), f.perRow(l.params[gateNorm], 1))
}

// keep stores a value for the backward where the policy says so: none, proj (the in-projection) or all (and the
// recurrence's output), the default.
func (b *block) keep(l layerOf, what string, n *Node) *Node {
	if b.Infer || b.Save == "none" || (b.Save == "proj" && what != "proj") {
		return n
	}
	return l.it.Save(n)
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
