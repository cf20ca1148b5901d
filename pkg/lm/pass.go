package lm

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

// Pass applies a model to whole sequences in one graph, in the dtype of the weights: with packed documents, states and
// probes after any token, and gradients. Runner does long sequences; Pass is for those that fit in memory at once.
type Pass struct {
	Device  *xla.Device
	Weights *Weights
	Options Options

	compiled *Programs
}

// NewPass prepares differentiable passes.
func NewPass(d *xla.Device, w *Weights) *Pass {
	return &Pass{Device: d, Weights: w, Options: Options{Members: w.Members}, compiled: &Programs{}}
}

// With applies the same model with other weights, through the same compiled graphs.
func (p *Pass) With(w *Weights) *Pass { return &Pass{p.Device, w, p.Options, p.compiled} }

// PassInput is what a pass computes and on what. Token axes are those of Rows.
type PassInput struct {
	Rows      [][]int32
	State     State // nil: zeros
	Documents []int // starts of packed documents and the end, as cu_seqlens; nil: one document; else one row
	Cuts      []int // ascending positions where the graph is cut and the state carried over
	Ends      []int // ascending positions for the probes of states
	Probes    []string
	Cotangent *tensors.Tensor // of the last recurrent state, or of the first positions of a model's first cache, or nil: adds Σ state·cotangent to the objective
	Gradient  bool            // of the objective, by parameter and by initial state
}

// PassOutput is what a pass computed. Loss and Objective are nil for a single token.
type PassOutput struct {
	Logits    *tensors.Tensor // [batch, tokens, vocab]
	Hidden    *tensors.Tensor // [batch, tokens, width], after the final norm
	Loss      *tensors.Tensor // [batch, tokens − 1]: −log p of the next token
	Objective *tensors.Tensor // mean loss, and Σ state·cotangent
	State     State
	Probes    map[string]*tensors.Tensor // [layers, batch, tokens, …]; states [layers, ends, batch, …]
	Gradient  map[string]*tensors.Tensor // by parameter
	Initial   State                      // gradients of the initial state
}

// Run builds (once per kind and shape of input) and executes the graph.
func (p *Pass) Run(in PassInput) (PassOutput, error) {
	tokens, err := p.check(in)
	if err != nil {
		return PassOutput{}, err
	}
	batch := len(in.Rows)
	if err := Fit(p.Weights.Model, Load{Batch: batch, Tokens: tokens, Train: in.Gradient, Logits: true}, p.Device.Memory()); err != nil {
		return PassOutput{}, err
	}
	m, state := p.Weights.Model, in.State
	if state == nil {
		state = ZeroState(m, batch, p.Weights.Values[0].DType())
	}
	if state, err = grown(p.Device, 0, p.compiled, m, state, tokens); err != nil {
		return PassOutput{}, err
	}
	args := (&Args{}).Params(p.Weights).Put("tokens", tensors.FromFlatDataAndDimensions(slices.Concat(in.Rows...), batch, tokens)).State(m, state)
	if in.Documents != nil {
		args.Put("segments", tensors.FromFlatDataAndDimensions(in.segments(tokens), 1, tokens))
	}
	if in.Cotangent != nil {
		args.Put("cotangent", in.Cotangent)
	}
	r, err := p.program(in, args).Call(args)
	if err != nil {
		return PassOutput{}, err
	}
	o := PassOutput{Logits: r["logits"], Hidden: r["hidden"], State: r.State(m), Probes: map[string]*tensors.Tensor{}, Loss: r["loss"], Objective: r["objective"]}
	for _, name := range in.Probes {
		if !AtEnds(name) || len(in.Ends) > 0 {
			o.Probes[name] = r[probePrefix+name]
		}
	}
	if in.Gradient {
		o.Gradient, o.Initial = map[string]*tensors.Tensor{}, State{}
		for _, s := range p.Weights.Specs {
			o.Gradient[s.Name] = r[gradientPrefix+paramPrefix+s.Name]
		}
		for _, s := range m.State(1) {
			o.Initial[s.Name] = r[gradientPrefix+statePrefix+s.Name]
		}
	}
	return o, nil
}

const gradientPrefix = "gradient/"

func (p *Pass) check(in PassInput) (tokens int, err error) {
	if tokens, err = CheckTokens(p.Weights.Model, in.Rows, in.State); err != nil {
		return 0, err
	}
	if tokens == 0 {
		return 0, fmt.Errorf("tokens: none; a pass needs at least 1")
	}
	if err := CheckNames(p.Weights.Model, in.Probes, nil); err != nil {
		return 0, err
	}
	if p.Weights.Members != 1 {
		return 0, fmt.Errorf("a pass takes one model, not %d members: select one", p.Weights.Members)
	}
	for _, list := range []struct {
		name      string
		positions []int
		last      int
	}{{"documents", in.Documents, tokens}, {"cuts", in.Cuts, tokens}, {"ends", in.Ends, tokens - 1}} {
		before := 0
		for _, at := range list.positions {
			if at < before || at > list.last {
				return 0, fmt.Errorf("%s %v: position %d is outside %d … %d; they must ascend", list.name, list.positions, at, before, list.last)
			}
			before = at
		}
	}
	if n := len(in.Documents); in.Documents != nil {
		switch {
		case len(in.Rows) != 1:
			return 0, fmt.Errorf("documents are packed in one sequence, not %d", len(in.Rows))
		case n < 2 || in.Documents[0] != 0 || in.Documents[n-1] != tokens:
			return 0, fmt.Errorf("documents %v must begin with 0 and end with the %d tokens", in.Documents, tokens)
		}
	}
	if in.Gradient && tokens == 1 {
		return 0, fmt.Errorf("gradient: 1 token has no next-token loss; it needs at least 2")
	}
	return tokens, nil
}

// segments numbers the documents from the one that the incoming state of every piece belongs to.
func (in PassInput) segments(tokens int) []int32 {
	document := make([]int32, tokens)
	for d := range len(in.Documents) - 1 {
		for t := in.Documents[d]; t < in.Documents[d+1]; t++ {
			document[t] = int32(d)
		}
	}
	out := make([]int32, tokens)
	for _, piece := range in.pieces(tokens) {
		first := int32(0)
		if piece[0] > 0 {
			first = document[piece[0]-1]
		}
		for t := piece[0]; t < piece[1]; t++ {
			out[t] = document[t] - first
		}
	}
	return out
}

// pieces are the stretches between the cuts that hold a token.
func (in PassInput) pieces(tokens int) (pieces [][2]int) {
	from := 0
	for _, to := range append(slices.Clone(in.Cuts), tokens) {
		if to > from {
			pieces = append(pieces, [2]int{from, to})
			from = to
		}
	}
	return pieces
}

// program compiles parameters, tokens, state, [segments], [cotangent] → logits, hidden, state, probes, [loss, objective],
// [gradients].
func (p *Pass) program(in PassInput, args *Args) *Program {
	tokens := len(in.Rows[0])
	key := fmt.Sprint("pass ", p.Options, in.Documents != nil, in.Cuts, in.Ends, in.Probes, in.Cotangent != nil, in.Gradient, tokens)
	b := passBuilder{p.Weights, p.Options, in.pieces(tokens), slices.Clone(in.Ends), slices.Clone(in.Probes), in.Gradient}
	return p.compiled.Get(p.Device, key, args, b.build)
}

// passBuilder is what the graph of a pass depends on.
type passBuilder struct {
	weights  *Weights
	options  Options
	pieces   [][2]int
	ends     []int
	probes   []string
	gradient bool
}

func (b passBuilder) build(in In, out *Out) {
	m, params, ids := b.weights.Model, in.Params(), in.Node("tokens")
	initial := in.State()
	hidden, state, seen := b.forward(params, ids, in.Node("segments"), initial)
	logits := m.Logits(Call{Params: params, Tokens: ids, Options: b.options}, hidden)
	out.Put("logits", logits)
	out.Put("hidden", hidden)
	out.State(m, state)
	for _, name := range b.probes {
		if axis := 2; seen[name] != nil {
			if AtEnds(name) {
				axis = 1
			}
			out.Put(probePrefix+name, join(seen[name], axis))
		}
	}
	tokens := ids.Shape().Dim(1)
	if tokens == 1 {
		return
	}
	loss := TokenLoss(graph.SliceAxis(logits, 1, graph.AxisRange(0, tokens-1)), graph.SliceAxis(ids, 1, graph.AxisRange(1, tokens)))
	objective := graph.ReduceAllMean(loss)
	if cotangent := in.Node("cotangent"); cotangent != nil {
		first := MainState(m)
		last := state[first.Name]
		if s, is := m.(Summarised); is {
			last = s.Summary(state)
		}
		if at := first.Along(Position); first.Grows {
			last = graph.SliceAxis(last, at, graph.AxisRange(0, cotangent.Shape().Dim(at)))
		}
		objective = graph.Add(objective, graph.ReduceAllSum(graph.Mul(last, cotangent)))
	}
	out.Put("loss", loss)
	out.Put("objective", objective)
	if b.gradient {
		names, of := []string{}, []*graph.Node{}
		for _, s := range b.weights.Specs {
			names, of = append(names, paramPrefix+s.Name), append(of, params[s.Name])
		}
		for _, s := range m.State(1) {
			names, of = append(names, statePrefix+s.Name), append(of, initial[s.Name])
		}
		for i, g := range graph.Gradient(objective, of...) {
			out.Put(gradientPrefix+names[i], g)
		}
	}
}

// forward runs the pieces one after the other.
func (b passBuilder) forward(params map[string]*graph.Node, ids, segments *graph.Node, state map[string]*graph.Node) (joined *graph.Node, last map[string]*graph.Node, seen map[string][]*graph.Node) {
	var hidden []*graph.Node
	seen = map[string][]*graph.Node{}
	for _, piece := range b.pieces {
		at := func(x *graph.Node) *graph.Node { return graph.SliceAxis(x, 1, graph.AxisRange(piece[0], piece[1])) }
		call := Call{Params: params, Tokens: at(ids), State: state, Options: b.options}
		if segments != nil {
			call.Segments = at(segments)
		}
		var inside []int32
		for _, e := range b.ends {
			if e >= piece[0] && e < piece[1] {
				inside = append(inside, int32(e-piece[0]))
			}
		}
		for _, name := range b.probes {
			if !AtEnds(name) || inside != nil {
				call.Probes = append(call.Probes, name)
			}
		}
		if inside != nil {
			call.Ends = graph.Const(ids.Graph(), inside)
		}
		out := b.weights.Model.Forward(call)
		state, hidden = out.State, append(hidden, out.Hidden)
		for name, v := range out.Probes {
			seen[name] = append(seen[name], v)
		}
	}
	return join(hidden, 1), state, seen
}

func join(parts []*graph.Node, axis int) *graph.Node {
	if len(parts) == 1 {
		return parts[0]
	}
	return graph.Concatenate(parts, axis)
}

// Float64s copies a float tensor to the host as float64.
func Float64s(t *tensors.Tensor) ([]float64, error) {
	if t.DType() == dtypes.Float64 {
		return tensors.CopyFlatData[float64](t)
	}
	narrow, err := Floats(t)
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out, err
}

// FromFloat64s makes a float32 or float64 tensor of host values.
func FromFloat64s(values []float64, dtype dtypes.DType, dims ...int) (*tensors.Tensor, error) {
	t := tensors.FromShape(shapes.Make(dtype, dims...))
	if t.Size() != len(values) {
		return nil, fmt.Errorf("%d values do not fill shape %v", len(values), dims)
	}
	err := t.MutableFlatData(func(flat any) {
		switch v := flat.(type) {
		case []float32:
			for i := range v {
				v[i] = float32(values[i])
			}
		case []float64:
			copy(v, values)
		}
	})
	return t, err
}
