package lm

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// State is the state of some sequences between two calls, by the names of Model.State.
type State map[string]*tensors.Tensor

// ZeroState is the state before the first token.
func ZeroState(m Model, batch int, dtype dtypes.DType) State {
	state := State{}
	for _, s := range m.State(batch) {
		state[s.Name] = tensors.FromShape(shapes.Make(dtype, s.Dims...))
	}
	return state
}

// StateFrom makes a device state from host values by name; those that are absent are zeros.
func StateFrom(m Model, batch int, dtype dtypes.DType, values map[string][]float64) (State, error) {
	specs, state := m.State(batch), State{}
	for name := range values {
		if _, err := Find(specs, name); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	for _, s := range specs {
		v, given := values[s.Name]
		if !given {
			v = make([]float64, s.Size())
		}
		if len(v) != s.Size() {
			return nil, fmt.Errorf("%s has %d entries, must have %d %v", s.Name, len(v), s.Size(), s.Dims)
		}
		t, err := FromFloat64s(v, dtype, s.Dims...)
		if err != nil {
			return nil, err
		}
		state[s.Name] = t
	}
	return state, nil
}

// Check compares a state with what the model asks for; a cache may have any size along its positions.
func (s State) Check(m Model, batch int) error {
	specs := m.State(batch)
	if len(s) != len(specs) {
		return fmt.Errorf("state: %d tensors, the model has %d: %s", len(s), len(specs), list(specs))
	}
	for _, spec := range specs {
		t := s[spec.Name]
		if t == nil {
			return fmt.Errorf("state: %s is missing; the model has %s", spec.Name, list(specs))
		}
		if !spec.Fits(t.Shape().Dimensions) {
			return fmt.Errorf("%s has shape %v, must be %v", spec.Name, t.Shape().Dimensions, spec.Dims)
		}
	}
	return nil
}

// Fits tells whether a tensor of these dims is one of the spec: equal, or larger along the positions of what grows.
func (s Spec) Fits(dims []int) bool {
	if !s.Grows {
		return slices.Equal(dims, s.Dims)
	}
	at := s.Along(Position)
	if len(dims) != len(s.Dims) || dims[at] < s.Dims[at] {
		return false
	}
	same := slices.Clone(dims)
	same[at] = s.Dims[at]
	return slices.Equal(same, s.Dims)
}

// Release frees the tensors now, where gigabytes on a device would wait for the garbage collector.
func (s State) Release() error {
	for _, t := range s {
		if err := t.FinalizeAll(); err != nil {
			return err
		}
	}
	return nil
}

// InOrder lists what a map holds in the order of specs, nil where it holds nothing.
func InOrder[T any](specs []Spec, of map[string]T) []T {
	out := make([]T, len(specs))
	for i, s := range specs {
		out[i] = of[s.Name]
	}
	return out
}

// ByName names a list in the order of specs.
func ByName[T any](specs []Spec, list []T) map[string]T {
	out := map[string]T{}
	for i, s := range specs[:len(list)] {
		out[s.Name] = list[i]
	}
	return out
}

// Matrix puts a recurrent state, or several of them along the axes before the layer's, into the order [batch…, heads, values,
// keys] of Spec.Matrices. x has lead axes in front of those that follow Layer and Batch in s.
func (s Spec) Matrix(x *graph.Node, lead int) *graph.Node {
	var order []int
	for i := range lead {
		order = append(order, i)
	}
	skip := 0
	for _, a := range []Axis{Layer, Batch} {
		if s.Along(a) >= 0 {
			skip++
		}
	}
	for _, a := range []Axis{HeadAxis, Channel, Value, Key} {
		if i := s.Along(a); i >= 0 {
			order = append(order, lead+i-skip)
		}
	}
	if !slices.IsSorted(order) {
		x = graph.TransposeAllAxes(x, order...)
	}
	heads, values, keys := s.Matrices()
	dims := append(slices.Clone(x.Shape().Dimensions[:lead]), heads, values, keys)
	if slices.Equal(dims, x.Shape().Dimensions) {
		return x
	}
	return graph.Reshape(x, dims...)
}

// OnHost copies a recurrent state to the host in float64 and in the order [layers, batch, heads, values, keys], flat.
func (s Spec) OnHost(t *tensors.Tensor) ([]float64, error) {
	v, err := Float64s(t)
	if err != nil {
		return nil, err
	}
	var order []int
	for _, a := range []Axis{Layer, Batch, HeadAxis, Channel, Value, Key} {
		if i := s.Along(a); i >= 0 {
			order = append(order, i)
		}
	}
	if slices.IsSorted(order) {
		return v, nil
	}
	dims := t.Shape().Dimensions
	out := make([]float64, 0, len(v))
	var walk func(depth, at int)
	walk = func(depth, at int) {
		if depth == len(order) {
			out = append(out, v[at])
			return
		}
		stride := 1
		for _, d := range dims[order[depth]+1:] {
			stride *= d
		}
		for i := range dims[order[depth]] {
			walk(depth+1, at+i*stride)
		}
	}
	walk(0, 0)
	return out, nil
}
