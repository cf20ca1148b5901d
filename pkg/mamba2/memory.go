package mamba2

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
)

// Ways of keeping the state other than the model's own. They share its parameters: lm.Weights of a model serve its
// variants with Model replaced.

// WithWindow returns the model whose layers see what the last r tokens wrote (recurrence.Window). Its state carries the
// operands of those tokens.
func (m Model) WithWindow(r int) (Model, error) {
	m.Window = r
	if r < 1 || r > 1<<20 {
		return m, fmt.Errorf("window of %d tokens is outside 1 … %d", r, 1<<20)
	}
	return m, m.checkVariant()
}

// WithNormLimit returns the model with the control norm_limit, applied after every so many tokens of a call
// (recurrence.NormLimit): 1 is exact and equal in prefill and decoding.
func (m Model) WithNormLimit(every int) (Model, error) {
	m.NormEvery = every
	if every < 1 || every > 1<<20 {
		return m, fmt.Errorf("the norm is limited every %d tokens, must be 1 … %d", every, 1<<20)
	}
	return m, m.checkVariant()
}

// WithDecimation returns the model with the control keep: from a layer on, only the tokens with the largest Δ of a call
// go on, in their order (DeciMamba, arXiv 2406.14528). Hidden are those of the tokens that are left, at the front.
func (m Model) WithDecimation() (Model, error) {
	m.Decimate = true
	return m, m.checkVariant()
}

// Variant is the model with its state kept in another way.
func (m Model) Variant(v lm.Variant) (_ lm.Model, err error) {
	if v.Window > 0 {
		m, err = m.WithWindow(v.Window)
	}
	if err == nil && v.NormEvery > 0 {
		m, err = m.WithNormLimit(v.NormEvery)
	}
	if err == nil && v.Decimate {
		m, err = m.WithDecimation()
	}
	return m, err
}

func (m Model) checkVariant() error {
	n := 0
	for _, used := range []bool{m.Window > 0, m.NormEvery > 0, m.Decimate} {
		if used {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("a sliding window, a limited norm and decimation cannot be combined")
	}
	return nil
}

// windowState lists what a window adds to the state, [layers, batch, …].
func (m Model) windowState(batch int) []lm.Spec {
	c := m.Config
	var specs []lm.Spec
	add := func(name string, dims ...int) {
		axes := []lm.Axis{lm.Layer, lm.Batch, lm.Position, lm.HeadAxis, lm.Value}[:2+len(dims)]
		specs = append(specs, lm.Spec{Name: name, Dims: append([]int{c.Layers, batch}, dims...), Axes: axes, Layered: true, Role: lm.Other})
	}
	add("window_write", m.Window, c.Heads(), c.HeadDim) // Δ x of the last tokens, oldest first
	add("window_log_alpha", m.Window, c.Heads())
	add("window_b", m.Window, c.Groups, c.State)
	add("window_since", c.Heads(), c.HeadDim, c.State) // see recurrence.Delayed
	add("window_block", c.Heads(), c.HeadDim, c.State)
	add("window_gone", c.Heads(), c.HeadDim, c.State)
	add("window_phase", 1)
	return specs
}

// recurWindow is recur over a sliding window; state is in the order of State.
func (b *block) recurWindow(l layerOf, op recurrence.Operands, state []*Node) recurred {
	past := recurrence.Past{Write: state[2], LogAlpha: state[3], B: state[4]}
	op.Initial = nil
	if b.tokens == 1 && b.Infer && l.length == nil {
		one := func(x *Node) *Node { return Squeeze(x, 1) }
		write := op.Delta
		if op.Write != nil {
			write = op.Write
		}
		dx := Mul(ConvertDType(one(op.X), b.gate), InsertAxes(one(write), -1))
		y, h, past, d := recurrence.WindowStep(dx, one(op.LogAlpha), one(op.B), one(op.C), past,
			recurrence.Delayed{Since: state[5], Block: state[6], Gone: state[7], Phase: state[8]})
		r := ofOneToken(y, h)
		r.more = []*Node{past.Write, past.LogAlpha, past.B, d.Since, d.Block, d.Gone, d.Phase}
		return r
	}
	w := recurrence.Window(op, past)
	end := Const(op.X.Graph(), []int32{int32(b.tokens - 1)})
	if l.length != nil {
		end = Reshape(AddScalar(l.length, -1), 1)
	}
	last, past := Squeeze(w.StatesAt(end), 0), w.PastAfter(end)
	return recurred{y: b.keep(l, "ssd", w.Y), state: last, moments: w.Moments, at: w.StatesAt,
		each: func(ends *Node, f func(h *Node) *Node) *Node { return f(w.StatesAt(ends)) },
		more: []*Node{past.Write, past.LogAlpha, past.B, last, ZerosLike(last), ZerosLike(last), ZerosLike(state[8])}}
}

// recurLimited is recur with limited norms.
func (b *block) recurLimited(l layerOf, op recurrence.Operands) recurred {
	everywhere := Ones(op.X.Graph(), op.Delta.Shape())
	norm := b.change(l, "norm_limit", Infinity(op.X.Graph(), op.Delta.DType(), 1), func(_, limit *Node) *Node { return limit })
	limit := recurrence.NormLimit{Norm: Mul(everywhere, norm), Every: b.NormEvery, Infer: b.Infer}
	y, state := limit.Run(op)
	at := func(ends *Node) *Node { return limit.StatesAt(op, ends) }
	return recurred{y: y, state: state, moments: func() (*Node, *Node) { return limit.Moments(op) }, at: at,
		each: func(ends *Node, f func(h *Node) *Node) *Node { return f(at(ends)) }}
}

// chosen are the tokens that decimation leaves: rows of them in order, then any.
type chosen struct {
	at     *Node // int32 [batch, tokens, 1]
	length *Node // int32 scalar: how many
}

// choose takes the keep tokens whose Δ has the largest norm over the heads; of equal ones the earlier.
func (b *block) choose(l layerOf, delta *Node) *chosen {
	keep := l.controls["keep"]
	if !b.Decimate || keep == nil || b.tokens == 1 {
		return nil
	}
	g := delta.Graph()
	square := shapes.Make(dtypes.Int32, b.batch, b.tokens, b.tokens)
	row, col := Iota(g, square, 1), Iota(g, square, 2)
	norm := ReduceSum(Square(delta), -1) // [batch, tokens]
	length := Scalar(g, dtypes.Int32, b.tokens)
	if l.length != nil {
		length = l.length
	}
	count := Min(Reshape(keep), length) // a scalar
	if keep.Shape().Size() != 1 {
		panic(fmt.Errorf("mamba2: control keep is the same for all rows of a batch"))
	}
	mine, other := InsertAxes(norm, -1), InsertAxes(norm, 1)
	tie := LogicalAnd(Equal(other, mine), LessThan(col, row))
	ahead := LogicalAnd(LogicalOr(GreaterThan(other, mine), tie), LessThan(col, length))
	rank := ReduceSum(ConvertDType(ahead, dtypes.Int32), -1) // [batch, tokens]: tokens that come before
	at := Iota(g, shapes.Make(dtypes.Int32, b.batch, b.tokens), 1)
	kept := LogicalAnd(LessThan(rank, count), LessThan(at, length))
	ones := ConvertDType(kept, dtypes.Int32)
	earlier := ConvertDType(LessThan(col, row), dtypes.Int32)
	slot := ReduceSum(Mul(InsertAxes(ones, 1), earlier), -1)            // [batch, tokens]: place among those kept
	slot = Where(kept, slot, AddScalar(ZerosLike(slot), b.tokens))      // nowhere
	here := ConvertDType(Equal(InsertAxes(slot, 1), row), dtypes.Int32) // [batch, place, token]
	return &chosen{InsertAxes(ReduceSum(Mul(here, col), -1), -1), count}
}

// take moves the chosen tokens of x [batch, tokens, …] to the front.
func (c *chosen) take(x *Node) *Node {
	dims := x.Shape().Dimensions
	flat := gatherTokens(Reshape(x, dims[0], dims[1], -1), c.at)
	return Reshape(flat, dims...)
}
