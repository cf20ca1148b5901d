package verify

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// isOperatorCase reports whether a file holds a bare case of the operator.
func isOperatorCase(path string) bool {
	file, err := readTensors(path)
	return err == nil && (holdsOperator(file) || kindOf(file) != nil)
}

func holdsOperator(file map[string]*checkpoint.Tensor) bool {
	return file["x"] != nil && file["dt"] != nil && file["B"] != nil && file["C"] != nil
}

// operator is one case: inputs, cotangents, outputs and gradients.
type operator struct {
	file      map[string]*checkpoint.Tensor
	values    map[string][]float64
	leaves    []string // inputs with a gradient, in the order of the graph's arguments
	dims      recurrence.Dims
	documents []int
	low, high float64 // limits of Δ where dt is raw
}

// operator verifies a file if it is a case of the operator.
func (v *verifier) operator(dir, name string, ev evidence) {
	file, err := readTensors(filepath.Join(dir, name))
	if err != nil {
		if !strings.HasPrefix(name, "model") { // weights are reported by the model
			v.result(dir, name, "", err)
		}
		return
	}
	if k := kindOf(file); k != nil {
		v.opCase(dir, name, *k, file, ev)
		return
	}
	if !holdsOperator(file) {
		return
	}
	o, err := newOperator(file)
	if err != nil {
		v.result(dir, name, "", err)
		return
	}
	stem := strings.TrimSuffix(name, ".safetensors")
	record := ev.Cases[stem]
	check := func(output, how string, values []float64, shape []int, route string) {
		reference := file[output]
		if reference == nil {
			return
		}
		want, err := reference.Float64s()
		if err != nil {
			v.result(dir, stem+" "+output, how, err)
			return
		}
		t := record.tolerance(output)
		allowed := t.Suggested
		if route == "step" {
			allowed = max(allowed, t.Sequential)
		}
		if allowed == 0 {
			allowed = map[string]float64{"chunk": 1e-5, "step": 3e-5}[route] * largestOf(want)
			if strings.HasPrefix(output, "grad.") {
				allowed *= 3
			}
		}
		if route == "exact" {
			allowed = strict(reference, want)
		}
		v.result(dir, stem+" "+output, how, compare(values, shape, want, reference.Shape, allowed))
	}
	// Gradients by A and Δ are differences of sums over a chunk: their float32 rounding grows with it.
	ways := []way{
		{"float32, chunks of 16", "chunk", func() (map[string]value, error) { return o.chunk(v.device, 16, dtypes.Float32, true) }},
		{"float32, chunks of 64", "chunk", func() (map[string]value, error) { return o.chunk(v.device, 64, dtypes.Float32, false) }},
		{"float64, chunks of 64", "exact", func() (map[string]value, error) { return o.chunk(v.device, 64, dtypes.Float64, true) }},
		{"float64, definition", "exact", o.naive},
	}
	if o.documents == nil {
		ways = append(ways, way{"float32, token by token", "step", func() (map[string]value, error) { return o.steps(v.device) }})
	}
	results := parallel(ways, func(w way) outcome { values, err := w.compute(); return outcome{values, err} })
	for i, w := range ways {
		if err := results[i].err; err != nil {
			v.result(dir, stem, w.how, err)
			continue
		}
		for _, output := range append([]string{"y", "state"}, gradientNames(o.leaves)...) {
			if got, ok := results[i].values[output]; ok {
				check(output, w.how, got.flat, got.shape, w.route)
			}
		}
	}
}

// way is one form of the operator in one dtype; route says which tolerance holds.
type way struct {
	how, route string
	compute    func() (map[string]value, error)
}

func gradientNames(leaves []string) (names []string) {
	for _, l := range leaves {
		names = append(names, "grad."+l)
	}
	return names
}

func newOperator(file map[string]*checkpoint.Tensor) (*operator, error) {
	o := &operator{file: file, values: map[string][]float64{}, high: math.Inf(1)}
	x, b := file["x"], file["B"]
	if len(x.Shape) != 4 || len(b.Shape) != 4 {
		return nil, fmt.Errorf("x has shape %v and B %v, must be [batch, tokens, heads, headDim] and [batch, tokens, groups, state]", x.Shape, b.Shape)
	}
	d := recurrence.Dims{Batch: x.Shape[0], Tokens: x.Shape[1], Heads: x.Shape[2], HeadDim: x.Shape[3], Groups: b.Shape[2], State: b.Shape[3]}
	o.dims = d
	stateDims := []int{d.Batch, d.Heads, d.HeadDim, d.State}
	if cu := file["cu_seqlens"]; cu != nil {
		var err error
		if o.documents, err = whole(cu); err != nil {
			return nil, err
		}
		if n := len(o.documents); n < 2 || d.Batch != 1 || o.documents[0] != 0 || o.documents[n-1] != d.Tokens || !slices.IsSorted(o.documents) {
			return nil, fmt.Errorf("cu_seqlens %v must ascend from 0 to the %d tokens of one sequence", o.documents, d.Tokens)
		}
	}
	rate := "A"
	if file["A_log"] != nil {
		rate = "A_log"
	}
	afterDims := slices.Clone(stateDims)
	if o.documents != nil {
		afterDims[0] = len(o.documents) - 1
	}
	for _, in := range []struct {
		name     string
		dims     []int
		optional bool
		leaf     bool
	}{
		{"x", x.Shape, false, true}, {"dt", []int{d.Batch, d.Tokens, d.Heads}, false, true}, {rate, []int{d.Heads}, false, true},
		{"B", b.Shape, false, true}, {"C", b.Shape, false, true}, {"D", []int{d.Heads}, true, true}, {"h0", stateDims, true, true},
		{"dt_bias", []int{d.Heads}, true, true}, {"dt_limit", []int{2}, true, false},
		{"grad_y", x.Shape, true, false}, {"grad_state", afterDims, true, false},
	} {
		t := file[in.name]
		if t == nil {
			if in.optional {
				continue
			}
			return nil, fmt.Errorf("tensor %s is missing", in.name)
		}
		if !slices.Equal(t.Shape, in.dims) {
			return nil, fmt.Errorf("%s has shape %v, must be %v", in.name, t.Shape, in.dims)
		}
		v, err := t.Float64s()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.name, err)
		}
		o.values[in.name] = v
		if in.leaf {
			o.leaves = append(o.leaves, in.name)
		}
	}
	if limit := o.values["dt_limit"]; limit != nil {
		o.low, o.high = limit[0], limit[1]
	}
	return o, nil
}

func (o *operator) raw() bool { return o.values["dt_bias"] != nil || o.values["dt_limit"] != nil }

// arguments of the graphs: leaves, then the cotangents that are given.
func (o *operator) arguments(dtype dtypes.DType) (names []string, args []any, err error) {
	names = slices.Clone(o.leaves)
	for _, n := range []string{"grad_y", "grad_state"} {
		if o.values[n] != nil {
			names = append(names, n)
		}
	}
	for _, n := range names {
		t, err := lm.FromFloat64s(o.values[n], dtype, o.file[n].Shape...)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, t)
	}
	return names, args, nil
}

// operands applies bias, softplus and limits, and A = −exp(A_log), where the case has them.
func (o *operator) operands(in map[string]*graph.Node) recurrence.Operands {
	delta, h := in["dt"], o.dims.Heads
	if o.raw() {
		bias := in["dt_bias"]
		if bias == nil {
			bias = graph.Zeros(delta.Graph(), graph.Reshape(delta, -1, h).Shape())
			bias = graph.SliceAxis(bias, 0, graph.AxisElem(0))
		}
		delta = recurrence.Delta(delta, graph.Reshape(bias, 1, 1, h), o.low, o.high)
	}
	a := in["A"]
	if a == nil {
		a = graph.Neg(graph.Exp(in["A_log"]))
	}
	return recurrence.Operands{X: in["x"], Delta: delta, LogAlpha: recurrence.LogAlpha(delta, graph.Reshape(a, 1, 1, h)),
		B: in["B"], C: in["C"], Initial: in["h0"]}
}

func (o *operator) segments() (segments []int, ends []int32) {
	for d := range len(o.documents) - 1 {
		for range o.documents[d+1] - o.documents[d] {
			segments = append(segments, d)
		}
		ends = append(ends, int32(o.documents[d+1]-1))
	}
	return segments, ends
}

// chunk runs the parallel form, with all gradients if asked.
func (o *operator) chunk(d *xla.Device, q int, dtype dtypes.DType, gradients bool) (map[string]value, error) {
	names, args, err := o.arguments(dtype)
	if err != nil {
		return nil, err
	}
	withGradient := gradients && (o.values["grad_y"] != nil || o.values["grad_state"] != nil)
	outputs := []string{"y", "state"}
	if withGradient {
		outputs = append(outputs, gradientNames(o.leaves)...)
	}
	return execute(d, outputs, args, func(nodes []*graph.Node) []*graph.Node {
		in := map[string]*graph.Node{}
		for i, n := range names {
			in[n] = nodes[i]
		}
		op := o.operands(in)
		segments, ends := o.segments()
		if segments != nil {
			flat := make([]int32, len(segments))
			for i, s := range segments {
				flat[i] = int32(s)
			}
			op.Segments = graph.Const(nodes[0].Graph(), [][]int32{flat})
		}
		r := recurrence.Chunk(op, q)
		y, state := r.Y, r.State
		if in["D"] != nil {
			y = recurrence.Skip(y, in["x"], graph.Reshape(in["D"], 1, 1, o.dims.Heads, 1))
		}
		if ends != nil {
			state = graph.Squeeze(r.StatesAt(graph.Const(nodes[0].Graph(), ends)), 1)
		}
		results := []*graph.Node{y, state}
		if withGradient {
			objective := graph.ScalarZero(nodes[0].Graph(), dtype)
			for i, n := range []string{"grad_y", "grad_state"} {
				if in[n] != nil {
					objective = graph.Add(objective, graph.ReduceAllSum(graph.Mul(results[i], in[n])))
				}
			}
			results = append(results, graph.Gradient(objective, nodes[:len(o.leaves)]...)...)
		}
		return results
	})
}

// steps runs the one-token form in a loop.
func (o *operator) steps(d *xla.Device) (map[string]value, error) {
	names, args, err := o.arguments(dtypes.Float32)
	if err != nil {
		return nil, err
	}
	return execute(d, []string{"y", "state"}, args, func(nodes []*graph.Node) []*graph.Node {
		in := map[string]*graph.Node{}
		for i, n := range names {
			in[n] = nodes[i]
		}
		op := o.operands(in)
		initial := op.Initial
		if initial == nil {
			initial = graph.Zeros(nodes[0].Graph(), stateShape(o.dims))
		}
		var xs []*graph.Node
		for _, n := range []*graph.Node{op.X, op.Delta, op.LogAlpha, op.B, op.C} { // tokens first
			axes := []int{1, 0, 2, 3}
			xs = append(xs, graph.TransposeAllAxes(n, axes[:n.Rank()]...))
		}
		loop := xla.Scan{N: o.dims.Tokens, Infer: true}
		last, ys := loop.Run([]*graph.Node{initial}, xs, nil, func(_ *xla.Iter, carry, x, _ []*graph.Node) (next, ys []*graph.Node) {
			y, h := recurrence.Step(x[0], x[1], x[2], x[3], x[4], carry[0])
			return []*graph.Node{h}, []*graph.Node{y}
		})
		y := graph.TransposeAllAxes(ys[0], 1, 0, 2, 3)
		if in["D"] != nil {
			y = recurrence.Skip(y, in["x"], graph.Reshape(in["D"], 1, 1, o.dims.Heads, 1))
		}
		return []*graph.Node{y, last[0]}
	})
}

// naive runs the definition on the host.
func (o *operator) naive() (map[string]value, error) {
	s := recurrence.Sequence{Dims: o.dims, X: o.values["x"], Delta: o.values["dt"], A: o.values["A"], B: o.values["B"], C: o.values["C"],
		D: o.values["D"], Initial: o.values["h0"]}
	if o.raw() {
		bias := o.values["dt_bias"]
		if bias == nil {
			bias = make([]float64, o.dims.Heads)
		}
		s.Delta = recurrence.NaiveDelta(s.Delta, bias, o.low, o.high)
	}
	if logA := o.values["A_log"]; logA != nil {
		s.A = make([]float64, len(logA))
		for i, v := range logA {
			s.A[i] = -math.Exp(v)
		}
	}
	segments, ends := o.segments()
	s.Segments = segments
	if err := s.Validate(); err != nil {
		return nil, err
	}
	size := o.dims.HeadDim * o.dims.State
	states := make([]float64, len(ends)*o.dims.Heads*size)
	y, state := recurrence.Naive(s, func(_, t, head int, h []float64) {
		if i := slices.Index(ends, int32(t)); i >= 0 {
			copy(states[(i*o.dims.Heads+head)*size:], h)
		}
	})
	shape := stateShape(o.dims).Dimensions
	if ends != nil {
		state, shape = states, append([]int{len(ends)}, shape[1:]...)
	}
	return map[string]value{"y": {y, o.file["x"].Shape}, "state": {state, shape}}, nil
}
