package mamba2

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// Forward builds the model: embedding, layers as one body in a loop (unrolled where asked or where the backend has no
// loops), final norm. See block.probe for the names of probes and Model.Controls for those of controls.
func (m Model) Forward(call lm.Call) lm.Output {
	b := m.newBlock(call)
	for _, s := range m.Parameters(b.members) {
		p := call.Params[s.Name]
		if p == nil {
			panic(fmt.Errorf("mamba2: parameter %s is missing", s.Name))
		}
		if fmt.Sprint(p.Shape().Dimensions) != fmt.Sprint(s.Dims) {
			panic(fmt.Errorf("mamba2: parameter %s has shape %v, must be %v", s.Name, p.Shape().Dimensions, s.Dims))
		}
	}
	g := call.Tokens.Graph()
	var layered []string
	var xs []*Node
	for _, s := range m.Parameters(b.members) {
		if s.Layered {
			layered, xs = append(layered, s.Name), append(xs, b.weight(call.Params[s.Name], s))
		}
	}
	m.checkControls(b.batch, call.Controls)
	names := slices.Sorted(maps.Keys(call.Controls))
	for _, n := range names {
		xs = append(xs, call.Controls[n])
	}
	specs := m.State(b.batch)
	var states []*Node
	for _, s := range specs {
		if b.fresh {
			break
		}
		state := call.State[s.Name]
		switch {
		case call.State == nil:
			state = Zeros(g, shapes.Make(b.gate, s.Dims...))
		case state == nil:
			panic(fmt.Errorf("mamba2: state %s is missing", s.Name))
		case !s.Fits(state.Shape().Dimensions):
			panic(fmt.Errorf("mamba2: state %s has shape %v, must be %v", s.Name, state.Shape().Dimensions, s.Dims))
		}
		states = append(states, state)
	}
	var consts []*Node
	for _, n := range []*Node{call.Length, call.Segments, call.Ends, call.Offset} {
		if n != nil {
			consts = append(consts, n)
		}
	}
	body := func(it *xla.Iter, carry, rows, consts []*Node) (next, ys []*Node) {
		layer := layerOf{params: map[string]*Node{}, controls: map[string]*Node{}, it: it}
		layer.length, layer.segments = take(&consts, call.Length), take(&consts, call.Segments)
		layer.ends, layer.offset = take(&consts, call.Ends), take(&consts, call.Offset)
		for i, n := range layered {
			layer.params[n] = rows[i]
		}
		for i, n := range names {
			layer.controls[n] = rows[len(layered)+i]
		}
		if m.Decimate {
			layer.length, carry = carry[0], carry[1:]
		}
		state := rows[len(layered)+len(names):]
		if b.fresh {
			for _, s := range specs {
				state = append(state, Zeros(carry[0].Graph(), shapes.Make(b.gate, s.Dims[1:]...)))
			}
		}
		if call.Infer { // states travel in the carry and are updated in place
			for _, s := range carry[1:] {
				state = append(state, xla.At(s, it.I))
			}
		}
		residual, after, probes := b.apply(&layer, carry[0], state)
		if m.Decimate {
			next = []*Node{layer.length}
		}
		next = append(next, residual)
		if b.fresh {
			return next, probes
		}
		if !call.Infer {
			return next, append(after, probes...)
		}
		for i, s := range carry[1:] {
			next = append(next, xla.Put(s, after[i], it.I))
		}
		return next, probes
	}
	carry := []*Node{b.embed(call.Params[embedding], call.Tokens)}
	if m.Decimate {
		length := call.Length
		if length == nil {
			length = Const(g, int32(b.tokens))
		}
		carry = []*Node{length, carry[0]}
	}
	fixed := len(carry)
	loop := xla.Scan{N: m.Config.Layers, Unroll: call.Unroll, Infer: call.Infer, Per: call.LayersPerIteration}
	var last, ys, out []*Node
	if call.Infer {
		last, ys = loop.Run(append(carry, states...), xs, consts, body)
		out = last[fixed:]
	} else {
		last, ys = loop.Run(carry, append(xs, states...), consts, body)
		out, ys = ys[:len(states)], ys[len(states):]
	}
	output := lm.Output{Probes: map[string]*Node{}}
	if !b.fresh {
		output.State = lm.ByName(specs, out)
	}
	probes := call.Probes // not names: the body, traced again for the backward, reads those
	if call.Reduce != nil {
		probes = call.Reduce.Outputs
	}
	for i, p := range probes {
		output.Probes[p] = ys[i]
	}
	output.Hidden = rmsNorm(last[fixed-1], b.perRow(call.Params[finalNorm], 1), m.Eps)
	return output
}

// Logits is hidden · Eᵀ, with the embedding or the separate head; float32 or wider unless LogitsBF16.
func (m Model) Logits(call lm.Call, hidden *Node) *Node {
	b := m.newBlock(call)
	name := embedding
	if !m.Tied {
		name = head
	}
	out := b.gate
	if b.LogitsBF16 {
		out = b.compute
	}
	return b.linear(ConvertDType(hidden, b.compute), ConvertDType(call.Params[name], b.compute), out)
}

func take(list *[]*Node, present *Node) *Node {
	if present == nil {
		return nil
	}
	n := (*list)[0]
	*list = (*list)[1:]
	return n
}

// block is what all layers of a call share.
type block struct {
	Model
	lm.Options
	fresh                  bool // see lm.Call; where kernels can do without states
	unrolled               bool // see unrolledStep
	probes                 []string
	reduce                 *lm.Reduction
	batch, tokens, members int
	gate, compute          dtypes.DType // of gates, norms and states; of products
}

func (m Model) newBlock(call lm.Call) *block {
	b := &block{Model: m, Options: call.Options, probes: call.Probes, reduce: call.Reduce, members: max(call.Members, 1)}
	if call.Tokens != nil {
		if call.Tokens.Rank() != 2 || call.Tokens.DType() != dtypes.Int32 {
			panic(fmt.Errorf("mamba2: tokens are %s, must be int32 [batch, tokens]", call.Tokens.Shape()))
		}
		b.batch, b.tokens = call.Tokens.Shape().Dim(0), call.Tokens.Shape().Dim(1)
		if b.batch%b.members != 0 {
			panic(fmt.Errorf("mamba2: batch %d is not a multiple of %d members", b.batch, b.members))
		}
	}
	if call.Params[embedding] == nil {
		panic(fmt.Errorf("mamba2: parameter %s is missing", embedding))
	}
	b.gate = call.Params[embedding].DType()
	b.compute = b.gate
	if call.Compute != dtypes.InvalidDType {
		b.compute = call.Compute
	}
	if b.Chunk == 0 {
		b.Chunk = m.Config.Chunk
	}
	if call.ZeroState && call.Tokens != nil && !call.Infer && call.State == nil && recurrence.Fuses(m.HeadDim, m.Config.State) {
		b.fresh = b.fuses(layerOf{params: call.Params, segments: call.Segments, controls: call.Controls})
	}
	return b
}

// weight casts the matrices of the products once, outside the loop.
func (b *block) weight(p *Node, s lm.Spec) *Node {
	if s.Name == inWeight || s.Name == outWeight {
		return ConvertDType(p, b.compute)
	}
	return p
}

// embed looks tokens up, member by member: [batch, tokens, width].
func (b *block) embed(table, tokens *Node) *Node {
	v, d := table.Shape().Dim(1), table.Shape().Dim(2)
	if b.members > 1 {
		offset := MulScalar(Iota(table.Graph(), shapes.Make(dtypes.Int32, b.members, b.batch/b.members, b.tokens), 0), v)
		tokens = Add(tokens, Reshape(offset, b.batch, b.tokens))
	}
	return Gather(Reshape(table, b.members*v, d), InsertAxes(tokens, -1))
}

// linear is x Wᵀ: x [batch, tokens, in], w [members, out, in].
func (b *block) linear(x, w *Node, out dtypes.DType) *Node {
	dims := x.Shape().Dimensions
	rows, in, width := dims[0]*dims[1], dims[2], w.Shape().Dim(1)
	if b.members == 1 {
		y := Dot(Reshape(x, rows, in), Reshape(w, width, in)).WithOutputDType(out).General([]int{1}, nil, []int{1}, nil)
		return Reshape(y, dims[0], dims[1], width)
	}
	x = Reshape(x, b.members, rows/b.members, in)
	y := Dot(x, w).WithOutputDType(out).General([]int{2}, []int{0}, []int{2}, []int{0})
	return Reshape(y, dims[0], dims[1], width)
}

// perRow turns a parameter [members, n…] into [batch or 1, 1 × axes, n…].
func (b *block) perRow(p *Node, axes int) *Node {
	dims := p.Shape().Dimensions
	ones := make([]int, axes)
	for i := range ones {
		ones[i] = 1
	}
	if b.members == 1 {
		return Reshape(p, append(append([]int{1}, ones...), dims[1:]...)...)
	}
	p = BroadcastToDims(InsertAxes(p, 1), append([]int{b.members, b.batch / b.members}, dims[1:]...)...)
	return Reshape(p, append(append([]int{b.batch}, ones...), dims[1:]...)...)
}

// rmsNorm is x / √(mean x² + eps) · w over the last axis.
func rmsNorm(x, w *Node, eps float64) *Node {
	mean := ReduceAndKeep(Square(x), ReduceMean, -1)
	return Mul(Mul(x, Rsqrt(AddScalar(mean, eps))), w)
}
