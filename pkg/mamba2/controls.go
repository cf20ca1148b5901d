package mamba2

import (
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/pkg/stack"
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

// checkControls panics on a control that is not in the list, or of another shape.
func (m Model) checkControls(batch int, controls map[string]*Node) {
	stack.CheckControls(m, batch, controls)
	for name := range controls {
		if m.Decimate && (strings.HasSuffix(name, lm.From) || strings.HasSuffix(name, lm.Until)) {
			panic(fmt.Errorf("mamba2: control %q: positions have no meaning where tokens are dropped", name))
		}
	}
}

// change applies the control to x [batch or 1, tokens or 1, Dims[0], …] where it is given and where its positions are.
func (b *block) change(l layerOf, name string, x *Node, with func(x, value *Node) *Node) *Node {
	dims := 1
	if name == "x_value" || name == "b_value" {
		dims = 2
	}
	return stack.Controls{Values: l.controls, Offset: l.offset, Rows: b.batch, Tokens: b.tokens}.Change(name, dims, x, with)
}

// gates are Δ and log α of every token and the strength of the write (nil: Δ) from the raw dt, with all changes.
func (b *block) gates(l layerOf, dt *Node) (delta, logAlpha, write *Node) {
	raw := Add(dt, b.change(l, "dt_bias_of", b.perRow(l.params[dtBias], 1), pickHeads))
	raw = b.change(l, "dt_scale", raw, Mul)
	raw = b.change(l, "dt_shift", raw, Add)
	delta = recurrence.Limit(Softplus(raw), b.DeltaMin, b.deltaMax())
	delta = b.change(l, "delta_value", delta, stack.Freeze)
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
	x = b.change(l, "x_value", x, stack.Freeze)
	x = b.change(l, "x_norm", x, rescale)
	bt = b.change(l, "b_value", bt, stack.Freeze)
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
