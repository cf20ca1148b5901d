package mamba1

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/selectivescan"
	"stuffed/pkg/stack"
)

// Model implements lm.Model for a configuration.
type Model struct{ Config }

func (m Model) block(l *stack.Layer, r *Node) *Node {
	out := m.mixer(l, l.Norm("norm.weight", r, m.Eps))
	l.Probe("mixer_out", func() *Node { return out })
	return Add(r, out)
}

func (m Model) mixer(l *stack.Layer, u *Node) *Node {
	x, z := split(m.product(l, "mixer.in_proj", u), m.Inner())
	var bias *Node
	if m.ConvBias {
		bias = l.Param("mixer.conv1d.bias")
	}
	x = stack.SiLU(l.Window(windowName, x).Convolve(l.Param("mixer.conv1d.weight"), bias))
	projected := l.Product("mixer.x_proj.weight", x)
	low, bc := split(projected, m.DeltaRank())
	b, c := split(bc, m.Config.State)
	delta := Softplus(Add(l.Product("mixer.dt_proj.weight", low), l.PerRow(l.Param("mixer.dt_proj.bias"), 1)))
	l.Probe("x_proj", func() *Node { return projected })
	l.Probe("conv_act", func() *Node { return x })
	y := m.scan(l, x, delta, b, c)
	return m.product(l, "mixer.out_proj", Mul(y, stack.SiLU(z)))
}

// scan runs the recurrence from the layer's state and leaves the next; y has D x in it.
func (m Model) scan(l *stack.Layer, x, delta, b, c *Node) *Node {
	change := func(name string, x *Node, with func(x, y *Node) *Node) *Node {
		return l.Change(name, x, stack.PerHead(with))
	}
	delta = change("delta_scale", delta, Mul)
	delta = change("delta_min", delta, Max)
	delta = l.Real(change("delta_max", delta, Min))
	op := selectivescan.Operands{X: x, Delta: change("a_scale", delta, Mul), Write: delta, B: change("b_scale", b, Mul), C: c,
		A: m.rates(l), Initial: l.State(stateName), Segments: l.Segments, Infer: l.Infer}
	m.show(l, op)
	var y, state *Node
	if l.Tokens == 1 && l.Infer && l.Segments == nil {
		one := op
		for _, n := range []**Node{&one.X, &one.Delta, &one.Write, &one.B, &one.C} {
			*n = Squeeze(*n, 1)
		}
		y, state = selectivescan.Step(one)
		y = InsertAxes(y, 1)
	} else {
		chunk := m.Chunk
		if l.Chunk > 0 {
			chunk = l.Chunk
		}
		y, state = selectivescan.Chunk(op, chunk)
	}
	l.SetState(stateName, state)
	y = change("y_scale", Add(y, Mul(x, l.PerRow(l.Param("mixer.D"), 1))), Mul)
	l.Probe("ssm", func() *Node { return y })
	return y
}

// rates returns A, [channels, state] or, with several members, one per row.
func (m Model) rates(l *stack.Layer) *Node {
	a := l.PerRow(Neg(Exp(l.Param("mixer.A_log"))), 0)
	if l.Members == 1 {
		return Squeeze(a, 0)
	}
	return a
}

// show registers the probes of the recurrence.
func (m Model) show(l *stack.Layer, op selectivescan.Operands) {
	var both []*Node
	moment := func(i int) func() *Node {
		return func() *Node {
			if both == nil {
				sum, squares := op.Moments()
				both = []*Node{sum, squares}
			}
			return both[i]
		}
	}
	l.ProbeState(stateName, moment(0), moment(1), op.StatesAt)
	l.Probe(lm.Delta, func() *Node { return ReduceAndKeep(op.Write, ReduceMean, -1) })
	l.Probe(byChannel, func() *Node { return op.Write })
	l.Probe(lm.LogAlpha, func() *Node {
		a := op.A
		if a.Rank() == 2 {
			a = InsertAxes(a, 0)
		}
		all := Mul(op.Delta, InsertAxes(ReduceMean(a, -1), 1)) // mean over n of Δ A
		return ReduceAndKeep(all, ReduceMean, -1)
	})
	l.Probe(lm.Values, func() *Node { return InsertAxes(op.X, 2) })
	l.Probe(lm.Keys, func() *Node { return InsertAxes(op.B, 2) })
	l.Probe(lm.Queries, func() *Node { return InsertAxes(op.C, 2) })
}

// product applies a projection, with its bias if there is one.
func (m Model) product(l *stack.Layer, name string, x *Node) *Node {
	y := l.Product(name+".weight", x)
	if m.UseBias {
		y = Add(y, l.PerRow(l.Param(name+".bias"), 1))
	}
	return y
}

// split splits the last axis after n entries.
func split(x *Node, n int) (first, rest *Node) {
	return SliceAxis(x, -1, AxisRange(0, n)), SliceAxis(x, -1, AxisRangeToEnd(n))
}

func (m Model) stack() stack.Layers {
	return stack.Layers{Model: m, Block: m.block, Leave: func(b *stack.Batch, r *Node) *Node {
		return stack.RMSNorm(r, b.PerRow(b.Params[finalNorm], 1), m.Eps)
	}}
}

// Name is the architecture's name in the registry.
func (m Model) Name() string { return m.Architecture() }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.stack().Forward(call) }

// Logits returns hidden · Wᵀ, where W is the output head.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.stack().Logits(call, hidden) }
