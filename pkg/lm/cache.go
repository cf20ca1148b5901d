package lm

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

// leastRoom is the least number of positions that a cache is given, so that short texts share graphs.
const leastRoom = 16

// grown makes room for n more tokens in the caches of a state. A model without caches keeps its state as it is.
func grown(d *xla.Device, number compute.DeviceNum, compiled *Programs, m Model, state State, n int) (State, error) {
	var caches []Spec
	used, counted := 0, false
	for _, s := range m.State(1) {
		if s.Grows {
			caches = append(caches, s)
		}
		if s.Role == Length {
			counts, err := Float64s(state[s.Name])
			if err != nil {
				return nil, err
			}
			for _, c := range counts {
				used, counted = max(used, int(c)), true
			}
		}
	}
	if len(caches) == 0 || n == 0 {
		return state, nil
	}
	if !counted {
		return nil, fmt.Errorf("%s: a state that grows needs one of role %q beside it, which says how many tokens it holds", m.Name(), Length)
	}
	room := leastRoom
	for room < used+n {
		room *= 2
	}
	out := State{}
	for name, t := range state {
		out[name] = t
	}
	for _, s := range caches {
		at, t := s.Along(Position), state[s.Name]
		if t.Shape().Dim(at) >= used+n {
			continue
		}
		var err error
		if out[s.Name], err = longer(d, number, compiled, t, at, room); err != nil {
			return nil, fmt.Errorf("state %s: %w", s.Name, err)
		}
	}
	return out, nil
}

// longer pads an axis with zeros.
func longer(d *xla.Device, number compute.DeviceNum, compiled *Programs, t *tensors.Tensor, axis, size int) (*tensors.Tensor, error) {
	args := (&Args{device: number}).Put("cache", t)
	r, err := compiled.Get(d, fmt.Sprint("longer ", axis, size), args, func(in In, out *Out) {
		x := in.Node("cache")
		dims := append([]int{}, x.Shape().Dimensions...)
		dims[axis] = size - dims[axis]
		out.Put("cache", graph.Concatenate([]*graph.Node{x, graph.Zeros(x.Graph(), shapes.Make(x.DType(), dims...))}, axis))
	}).Call(args)
	return r["cache"], err
}
