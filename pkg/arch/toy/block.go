package toy

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// block builds one layer on the residual stream r [batch, tokens, width].
func (m Model) block(l *stack.Layer, r *Node) *Node {
	x := l.Norm("norm", r, 1e-5)
	u := Add(x, Mul(l.PerRow(l.Param("mix"), 1), Sub(l.Shift("previous", x), x)))
	heads := func(name string, each int) *Node { return Reshape(l.Product(name, u), l.Rows, l.Tokens, m.Heads, each) }
	q, k, v := heads("q", m.Keys), l.Real(heads("k", m.Keys)), heads("v", m.Values)
	logAlpha := Neg(Softplus(heads("a", m.Keys)))
	logAlpha = l.Change("a_scale", logAlpha, stack.PerHead(Mul))
	logAlpha = l.Real(l.Change("log_alpha_shift", logAlpha, stack.PerHead(Add)))

	decay, enter := m.decays(l, logAlpha)
	written := Mul(decay, InsertAxes(k, 1)) // [batch, t, j, heads, keys]: what token j wrote, as it is left at t
	all := Add(Einsum("btjhk,bjhv->bthkv", written, v), Mul(InsertAxes(enter, -1), InsertAxes(l.State("memory"), 1)))
	norms := Add(ReduceSum(written, 2), Mul(enter, InsertAxes(l.State("normaliser"), 1)))

	y := Einsum("bthk,bthkv->bthv", q, all)
	y = Div(y, InsertAxes(AddScalar(Abs(ReduceSum(Mul(q, norms), -1)), 1), -1))
	y = l.Change("y_scale", y, stack.PerHead(Mul))
	r = Add(r, l.Product("out", Reshape(y, l.Rows, l.Tokens, m.Heads*m.Values)))

	l.SetState("memory", at(all, l.Tokens-1))
	l.SetState("normaliser", at(norms, l.Tokens-1))
	for name, states := range map[string]*Node{"memory": all, "normaliser": norms} {
		l.ProbeState(name, func() *Node { return perHead(states) }, func() *Node { return perHead(Square(states)) }, func(ends *Node) *Node {
			perm := []int{1, 0, 2, 3, 4}[:states.Rank()]
			return Gather(TransposeAllAxes(states, perm...), InsertAxes(ends, -1))
		})
	}
	for name, n := range map[string]*Node{lm.LogAlpha: logAlpha, lm.Values: v, lm.Keys: k, lm.Queries: q, lm.Residual: r} {
		l.Probe(name, func() *Node { return n })
	}
	return r
}

// decays are what is left at token t of what token j wrote, [batch, t, j, heads, keys], and of the state before the call, [batch, t,
// heads, keys]: 0 for later tokens and other documents.
func (m Model) decays(l *stack.Layer, logAlpha *Node) (decay, enter *Node) {
	g, n := logAlpha.Graph(), l.Tokens
	square := shapes.Make(dtypes.Int32, l.Rows, n, n)
	seen := GreaterOrEqual(Iota(g, square, 1), Iota(g, square, 2)) // [batch, t, j]
	sum := Einsum("btj,bjhk->bthk", ConvertDType(seen, logAlpha.DType()), logAlpha)
	enter = Exp(sum)
	if s := l.Segments; s != nil {
		seen = LogicalAnd(seen, Equal(InsertAxes(s, 2), InsertAxes(s, 1)))
		first := BroadcastToShape(InsertAxes(Equal(s, ZerosLike(s)), -1, -1), shapes.Make(dtypes.Bool, enter.Shape().Dimensions...))
		enter = Where(first, enter, ZerosLike(enter))
	}
	between := Sub(InsertAxes(sum, 2), InsertAxes(sum, 1))
	mask := BroadcastToShape(InsertAxes(seen, -1, -1), shapes.Make(dtypes.Bool, between.Shape().Dimensions...))
	return Where(mask, Exp(Where(mask, between, ZerosLike(between))), ZerosLike(between)), enter
}

// at returns x [batch, tokens, …] at one token.
func at(x *Node, token int) *Node { return Squeeze(SliceAxis(x, 1, AxisElem(token)), 1) }

// perHead sums [batch, tokens, heads, …] over the entries of a head, in float64.
func perHead(x *Node) *Node {
	x = ConvertDType(x, dtypes.Float64)
	for x.Rank() > 3 {
		x = ReduceSum(x, -1)
	}
	return x
}
