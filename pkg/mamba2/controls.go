package mamba2

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
)

// Controls lists what can be changed, in the order in which the changes act. NaN leaves a frozen quantity as it is.
func (m Model) Controls() []lm.Control {
	h, p, n, g := m.Heads(), m.HeadDim, m.Config.State, m.Groups
	inf, nan := math.Inf(1), math.NaN()
	heads := []int{h}
	list := []control{
		{"dt_bias_of", heads, true, lm.Itself, "head whose dt_bias is used"},
		{"dt_scale", heads, false, 1, "factor of dt + dt_bias, before softplus"},
		{"dt_shift", heads, false, math.Copysign(0, -1), "added to dt + dt_bias, before softplus"},
		{"delta_value", heads, false, nan, "Δ itself, constant"},
		{"delta_filter", heads, false, 0, "tokens with a smaller Δ are skipped: Δ = 0"},
		{"delta_scale", heads, false, 1, "factor of Δ, after softplus and limits"},
		{"delta_min", heads, false, -inf, "lower bound of Δ"},
		{"delta_max", heads, false, inf, "upper bound of Δ"},
		{"a_of", heads, true, lm.Itself, "head whose A is used"},
		{"a_scale", heads, false, 1, "factor of A, and so of log α"},
		{"log_alpha_shift", heads, false, math.Copysign(0, -1), "added to log α: the log of a factor of α"},
		{"log_alpha_min", heads, false, -inf, "lower bound of log α"},
		{"log_alpha_max", heads, false, inf, "upper bound of log α"},
		{"x_value", []int{h, p}, false, nan, "x itself, constant"},
		{"x_norm", heads, false, nan, "norm to which x is scaled"},
		{"b_value", []int{g, n}, false, nan, "B itself, constant"},
		{"b_norm", []int{g}, false, nan, "norm to which B is scaled"},
		{"b_scale", heads, false, 1, "factor of B, for one head"},
		{"y_scale", heads, false, 1, "factor of the head's output, D x included; 0 ablates the head"},
	}
	if m.NormEvery > 0 {
		list = append(list, control{"norm_limit", heads, false, inf, "largest Frobenius norm of the state"})
	}
	if m.Decimate {
		list = append(list, control{"keep", []int{1}, true, math.MaxInt32, "tokens of a piece that go on from this layer"})
	}
	var all []lm.Control
	for _, c := range list {
		axes := []lm.Axis{lm.HeadAxis, lm.Value}
		switch {
		case strings.HasPrefix(c.name, "b_") && c.name != "b_scale":
			axes = []lm.Axis{lm.Group, lm.Key}
		case c.name == "keep":
			axes = []lm.Axis{lm.Token}
		}
		all = append(all, lm.Control{Name: c.name, Dims: c.dims, Axes: axes[:len(c.dims)], Integer: c.integer, Neutral: c.neutral, Does: c.does})
	}
	return all
}

type control struct {
	name    string
	dims    []int
	integer bool
	neutral float64
	does    string
}

// checkControls panics on a name or a shape that is not in the list.
func (m Model) checkControls(batch int, controls map[string]*Node) {
	list := m.Controls()
	for name, node := range controls {
		base := strings.TrimSuffix(strings.TrimSuffix(name, lm.From), lm.Until)
		i := slices.IndexFunc(list, func(c lm.Control) bool { return c.Name == base })
		if i < 0 {
			panic(fmt.Errorf("mamba2: unknown control %q", name))
		}
		if m.Decimate && base != name {
			panic(fmt.Errorf("mamba2: control %q: positions have no meaning where tokens are dropped", name))
		}
		dims, integer := list[i].Dims, list[i].Integer
		if base != name {
			dims, integer = dims[:1], true
		}
		got := node.Shape().Dimensions
		one, each := append([]int{m.Config.Layers}, dims...), append([]int{m.Config.Layers, batch}, dims...)
		if !slices.Equal(got, one) && !slices.Equal(got, each) || integer != (node.DType() == dtypes.Int32) {
			panic(fmt.Errorf("mamba2: control %q is %s, must be %v or %v (int32: %v)", name, node.Shape(), one, each, integer))
		}
	}
}

// change applies the control to x [batch or 1, tokens or 1, Dims[0], …] where it is given and where its positions are.
func (b *block) change(l layerOf, name string, x *Node, with func(x, value *Node) *Node) *Node {
	value := l.controls[name]
	if value == nil {
		return x
	}
	axes := 1
	if name == "x_value" || name == "b_value" {
		axes = 2
	}
	changed := with(x, perToken(value, axes))
	full := append([]int{b.batch, b.tokens}, changed.Shape().Dimensions[2:]...)
	on := b.acts(l, name, full)
	if on == nil {
		return changed
	}
	if ones := Ones(x.Graph(), shapes.Make(x.DType(), full...)); x.Shape().Size() != ones.Shape().Size() {
		x, changed = Mul(x, ones), Mul(changed, ones)
	}
	return Where(on, changed, x)
}

// perToken turns a control's [(batch,) Dims…] of so many dims into [batch or 1, 1, Dims…].
func perToken(value *Node, dims int) *Node {
	if value.Rank() > dims {
		return InsertAxes(value, 1)
	}
	return InsertAxes(value, 0, 0)
}

// acts is where in the shape [batch, tokens, Dims[0], …] the control acts, nil for everywhere. It and what uses it never
// broadcast explicitly, because the Go backend loses such nodes in loops.
func (b *block) acts(l layerOf, name string, full []int) (on *Node) {
	for _, suffix := range []string{lm.From, lm.Until} {
		limit := l.controls[name+suffix]
		if limit == nil {
			continue
		}
		at := Iota(limit.Graph(), shapes.Make(dtypes.Int32, full...), 1)
		if l.offset != nil {
			at = Add(at, l.offset)
		}
		for limit = perToken(limit, 1); limit.Rank() < at.Rank(); {
			limit = InsertAxes(limit, -1)
		}
		is := GreaterOrEqual(at, limit)
		if suffix == lm.Until {
			is = LessThan(at, limit)
		}
		if on == nil {
			on = is
		} else {
			on = LogicalAnd(on, is)
		}
	}
	return on
}

// gates are Δ and log α of every token and the strength of the write (nil: Δ) from the raw dt, with all changes.
func (b *block) gates(l layerOf, dt *Node) (delta, logAlpha, write *Node) {
	raw := Add(dt, b.change(l, "dt_bias_of", b.perRow(l.params[dtBias], 1), pickHeads))
	raw = b.change(l, "dt_scale", raw, Mul)
	raw = b.change(l, "dt_shift", raw, Add)
	delta = recurrence.Limit(Softplus(raw), b.DeltaMin, b.deltaMax())
	delta = b.change(l, "delta_value", delta, freeze)
	delta = b.change(l, "delta_filter", delta, func(d, least *Node) *Node {
		return Where(LessThan(d, least), ZerosLike(d), d)
	})
	delta = b.change(l, "delta_scale", delta, Mul)
	delta = b.change(l, "delta_min", delta, Max)
	delta = b.change(l, "delta_max", delta, Min)
	delta = b.realTokens(l, delta)

	a := Neg(Exp(b.perRow(l.params[aLog], 1)))
	a = b.change(l, "a_of", a, pickHeads)
	a = b.change(l, "a_scale", a, Mul)
	logAlpha = recurrence.LogAlpha(delta, a)
	before := logAlpha
	logAlpha = b.change(l, "log_alpha_shift", logAlpha, Add)
	logAlpha = b.change(l, "log_alpha_min", logAlpha, Max)
	logAlpha = b.change(l, "log_alpha_max", logAlpha, Min)
	if logAlpha != before {
		logAlpha = b.realTokens(l, logAlpha)
	}
	if l.controls["b_scale"] != nil {
		write = b.change(l, "b_scale", delta, Mul)
	}
	return delta, logAlpha, write
}

// realTokens sets padding to 0: it neither decays nor writes.
func (b *block) realTokens(l layerOf, x *Node) *Node {
	if l.length == nil {
		return x
	}
	real := LessThan(Iota(x.Graph(), shapes.Make(dtypes.Int32, x.Shape().Dimensions...), 1), l.length)
	return Where(real, x, ZerosLike(x))
}

// contents are x and B with all changes.
func (b *block) contents(l layerOf, x, bt *Node) (*Node, *Node) {
	x = b.change(l, "x_value", x, freeze)
	x = b.change(l, "x_norm", x, rescale)
	bt = b.change(l, "b_value", bt, freeze)
	bt = b.change(l, "b_norm", bt, rescale)
	return x, bt
}

// rewrites tells whether x or B are other than what the convolution gave.
func (l layerOf) rewrites() bool {
	for _, name := range []string{"x_value", "x_norm", "b_value", "b_norm", "b_scale"} {
		if l.controls[name] != nil {
			return true
		}
	}
	return false
}

// freeze is value where that is a number, x elsewhere.
func freeze(x, value *Node) *Node {
	value = Add(ConvertDType(value, x.DType()), ZerosLike(x))
	return Where(Equal(value, value), value, x)
}

// rescale gives the rows of x [batch, tokens, n, width] the norm [.., n, 1] where that is a number.
func rescale(x, norm *Node) *Node {
	norm = InsertAxes(norm, -1)
	wide := ConvertDType(x, norm.DType())
	scaled := Mul(wide, Div(norm, MaxScalar(Sqrt(ReduceAndKeep(Square(wide), ReduceSum, -1)), 1e-30)))
	known := Equal(norm, Add(norm, ZerosLike(wide))) // false where norm is NaN
	return Where(known, ConvertDType(scaled, x.DType()), x)
}

// pickHeads is x [batch or 1, 1, heads] with head of[.., i] in place i; the same for all rows.
func pickHeads(x, of *Node) *Node {
	dims := x.Shape().Dimensions
	if of.Shape().Dim(0) != 1 {
		panic(fmt.Errorf("mamba2: dt_bias_of and a_of are the same for all rows of a batch, not %s", of.Shape()))
	}
	byHead := Gather(TransposeAllAxes(x, 2, 0, 1), Reshape(of, dims[2], 1))
	return TransposeAllAxes(byHead, 1, 2, 0)
}
