// Package stack builds models of equal layers,
//
//	r ← embedding(token);  for every layer r ← block(r, state of the layer);  hidden = leave(r);  logits = hidden · Eᵀ
//
// so that an architecture writes its block alone. The layers are one body in a loop (unrolled where asked, or where a backend has
// no loops); parameters, states and controls reach the block by name, several members of the model side by side.
package stack

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Layers is a model of equal layers. Its parameters of role lm.Embedding and lm.Head are the tables; those of role lm.Matrix are cast
// to the dtype of the products once, outside the loop.
type Layers struct {
	Model lm.Model
	Block func(l *Layer, r *Node) *Node   // the residual stream [batch, tokens, width] after the layer
	Enter func(b *Batch, r *Node) *Node   // or nil: what becomes of the embeddings before the first layer
	Leave func(b *Batch, r *Node) *Node   // or nil: the final norm
	Extra func(b *Batch) map[string]*Node // or nil: values [layers, …] made of parameters, found by Layer.Param
	// Pass makes values that layers hand on to the next beside the residual stream, such as the values of the first layer; or nil.
	Pass func(b *Batch, r *Node) map[string]*Node
}

// Batch is what all layers of a call share.
type Batch struct {
	lm.Options
	Model                 lm.Model
	Params                map[string]*Node // those without layers, outside the loop
	Rows, Tokens, Members int              // sequences, tokens of each, members
	Gate, Products        dtypes.DType     // of parameters, norms and states; of products
	ZeroState             bool             // see lm.Call: states are zeros, and nobody asks for those after the tokens
}

// batch reads the sizes of a call.
func (s Layers) batch(call lm.Call) *Batch {
	b := &Batch{Options: call.Options, Model: s.Model, Params: call.Params, Members: max(call.Members, 1), ZeroState: call.ZeroState && call.State == nil}
	if call.Tokens != nil {
		if call.Tokens.Rank() != 2 || call.Tokens.DType() != dtypes.Int32 {
			panic(fmt.Errorf("%s: tokens are %s, must be int32 [batch, tokens]", s.Model.Name(), call.Tokens.Shape()))
		}
		b.Rows, b.Tokens = call.Tokens.Shape().Dim(0), call.Tokens.Shape().Dim(1)
		if b.Rows%b.Members != 0 {
			panic(fmt.Errorf("%s: batch %d is not a multiple of %d members", s.Model.Name(), b.Rows, b.Members))
		}
	}
	for _, spec := range s.Model.Parameters(b.Members) {
		p := call.Params[spec.Name]
		if p == nil && spec.Layered && call.Tokens == nil {
			continue // the head needs none of the layers'
		}
		if p == nil {
			panic(fmt.Errorf("%s: parameter %s is missing", s.Model.Name(), spec.Name))
		}
		if !slices.Equal(p.Shape().Dimensions, spec.Dims) {
			panic(fmt.Errorf("%s: parameter %s has shape %v, must be %v", s.Model.Name(), spec.Name, p.Shape().Dimensions, spec.Dims))
		}
		b.Gate = p.DType()
	}
	if b.Products = b.Gate; call.Compute != dtypes.InvalidDType {
		b.Products = call.Compute
	}
	return b
}

// table is the name of the parameter of a role, "" if there is none.
func (s Layers) table(role lm.Role) string {
	for _, spec := range s.Model.Parameters(1) {
		if spec.Role == role {
			return spec.Name
		}
	}
	return ""
}

// Logits is hidden · Eᵀ with the head or, where that is tied, the embedding; float32 or wider unless LogitsBF16.
func (s Layers) Logits(call lm.Call, hidden *Node) *Node {
	b := s.batch(lm.Call{Params: call.Params, Options: call.Options})
	name := s.table(lm.Head)
	if name == "" {
		name = s.table(lm.Embedding)
	}
	out := b.Gate
	if b.LogitsBF16 {
		out = b.Products
	}
	return b.Linear(ConvertDType(hidden, b.Products), ConvertDType(call.Params[name], b.Products), out)
}

// Forward builds the model.
func (s Layers) Forward(call lm.Call) lm.Output {
	b := s.batch(call)
	CheckControls(b.Model, b.Rows, call.Controls)
	r := b.embed(call.Params[s.table(lm.Embedding)], call.Tokens)
	if s.Enter != nil {
		r = s.Enter(b, r)
	}
	run := &run{Layers: s, batch: b, call: call, specs: s.Model.State(b.Rows)}
	passed := map[string]*Node{}
	if s.Pass != nil {
		passed = s.Pass(b, r)
	}
	run.passed = slices.Sorted(maps.Keys(passed))
	run.collect()
	carry := []*Node{r}
	for _, name := range run.passed {
		carry = append(carry, passed[name])
	}
	run.fixed = len(carry)
	loop := xla.Scan{N: s.Model.Layers(), Unroll: call.Unroll, Infer: call.Infer, Per: call.LayersPerIteration}
	states := run.states()
	var last, ys, after []*Node
	if call.Infer { // states travel in the carry and are updated in place
		last, ys = loop.Run(append(carry, states...), run.xs, run.consts, run.body)
		after = last[run.fixed:]
	} else {
		last, ys = loop.Run(carry, append(run.xs, states...), run.consts, run.body)
		after, ys = ys[:len(states)], ys[len(states):]
	}
	out := lm.Output{State: lm.ByName(run.specs, after), Probes: map[string]*Node{}, Hidden: last[0]}
	for i, name := range run.outputs() {
		out.Probes[name] = ys[i]
	}
	if s.Leave != nil {
		out.Hidden = s.Leave(b, last[0])
	}
	return out
}

// run is one application of a stack.
type run struct {
	Layers
	batch    *Batch
	call     lm.Call
	specs    []lm.Spec // of the state
	layered  []string  // parameters, extras and controls of a layer, in the order of xs
	controls int       // of them at the end
	passed   []string
	fixed    int // of the carry, in front of the states
	xs       []*Node
	consts   []*Node
}

// collect lists what the body is given by layer, and to all layers.
func (r *run) collect() {
	add := func(name string, n *Node) { r.layered, r.xs = append(r.layered, name), append(r.xs, n) }
	for _, s := range r.Model.Parameters(r.batch.Members) {
		switch n := r.call.Params[s.Name]; {
		case !s.Layered:
		case s.Role == lm.Matrix:
			add(s.Name, ConvertDType(n, r.batch.Products))
		default:
			add(s.Name, n)
		}
	}
	if r.Extra != nil {
		extra := r.Extra(r.batch)
		for _, name := range slices.Sorted(maps.Keys(extra)) {
			add(name, extra[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.call.Controls)) {
		add(name, r.call.Controls[name])
		r.controls++
	}
	for _, n := range []*Node{r.call.Length, r.call.Segments, r.call.Ends, r.call.Offset} {
		if n != nil {
			r.consts = append(r.consts, n)
		}
	}
}

// states are those of the call, or zeros, in the order of the specs.
func (r *run) states() (all []*Node) {
	for _, s := range r.specs {
		n := r.call.State[s.Name]
		switch {
		case r.call.State == nil:
			dims := slices.Clone(s.Dims)
			if s.Grows && !r.batch.ZeroState {
				dims[s.Along(lm.Position)] = max(r.batch.Tokens, dims[s.Along(lm.Position)])
			}
			n = Zeros(r.call.Tokens.Graph(), shapes.Make(r.batch.Gate, dims...))
		case n == nil:
			panic(fmt.Errorf("%s: state %s is missing", r.Model.Name(), s.Name))
		case !s.Fits(n.Shape().Dimensions):
			panic(fmt.Errorf("%s: state %s has shape %v, must be %v", r.Model.Name(), s.Name, n.Shape().Dimensions, s.Dims))
		}
		all = append(all, n)
	}
	return all
}

// outputs are the names of what the layers return besides states.
func (r *run) outputs() []string {
	if r.call.Reduce != nil {
		return r.call.Reduce.Outputs
	}
	return r.call.Probes
}

// body is one layer.
func (r *run) body(it *xla.Iter, carry, rows, consts []*Node) (next, ys []*Node) {
	l := &Layer{Batch: r.batch, Index: it.I, it: it, reduce: r.call.Reduce, params: map[string]*Node{}, controls: map[string]*Node{},
		state: map[string]*Node{}, after: map[string]*Node{}, passed: map[string]*Node{}, probes: map[string]func() *Node{}}
	take := func(present *Node) *Node {
		if present == nil {
			return nil
		}
		n := consts[0]
		consts = consts[1:]
		return n
	}
	l.Length, l.Segments, l.Ends, l.Offset = take(r.call.Length), take(r.call.Segments), take(r.call.Ends), take(r.call.Offset)
	own := len(r.layered)
	for i, name := range r.layered {
		if i < own-r.controls {
			l.params[name] = rows[i]
		} else {
			l.controls[name] = rows[i]
		}
	}
	for i, name := range r.passed {
		l.passed[name] = carry[1+i]
	}
	states := rows[own:]
	if r.call.Infer {
		states = nil
		for _, s := range carry[r.fixed:] {
			states = append(states, xla.At(s, it.I))
		}
	}
	for i, s := range r.specs {
		l.state[s.Name], l.after[s.Name] = states[i], states[i]
	}
	next = []*Node{r.Block(l, carry[0])}
	l.Probe(lm.Residual, func() *Node { return next[0] })
	for _, name := range r.passed {
		next = append(next, l.passed[name])
	}
	after := lm.InOrder(r.specs, l.after)
	for i, s := range r.specs {
		if !slices.Equal(after[i].Shape().Dimensions, states[i].Shape().Dimensions) || after[i].DType() != states[i].DType() {
			panic(fmt.Errorf("%s: the layer leaves state %s as %s, it was %s", r.Model.Name(), s.Name, after[i].Shape(), states[i].Shape()))
		}
	}
	if !r.call.Infer {
		return next, append(after, l.watch(r.call.Probes)...)
	}
	for i, s := range carry[r.fixed:] {
		next = append(next, xla.Put(s, after[i], it.I))
	}
	return next, l.watch(r.call.Probes)
}
