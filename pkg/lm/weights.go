package lm

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Weights are the parameters of one or more models of one shape, in the order of Model.Parameters(Members).
type Weights struct {
	Model   Model
	Members int
	Specs   []Spec
	Values  []*tensors.Tensor // float32 or float64
}

// NewWeights fills the parameters of every member from value, which returns a member's tensor without the member
// axis, flat and row-major.
func NewWeights[T float32 | float64](m Model, members int, value func(member int, s Spec) ([]T, error)) (*Weights, error) {
	w := &Weights{Model: m, Members: members, Specs: m.Parameters(members)}
	for i, one := range m.Parameters(1) {
		s := w.Specs[i]
		all := make([]T, s.Size())
		layers, rest := 1, one.Size()
		if s.Layered {
			layers, rest = s.Dims[0], one.Size()/s.Dims[0]
		}
		for r := range members {
			v, err := value(r, one)
			if err != nil {
				return nil, err
			}
			if len(v) != one.Size() {
				return nil, fmt.Errorf("parameter %s has %d entries, must have %d %v", one.Name, len(v), one.Size(), one.Dims)
			}
			for l := range layers {
				copy(all[(l*members+r)*rest:][:rest], v[l*rest:])
			}
		}
		w.Values = append(w.Values, tensors.FromFlatDataAndDimensions(all, s.Dims...))
	}
	return w, nil
}

// InitialWeights draws one model per seed.
func InitialWeights(m Model, seeds ...uint64) (*Weights, error) {
	values := make([]map[string][]float32, len(seeds))
	for i, seed := range seeds {
		values[i] = m.Initial(seed)
	}
	return NewWeights(m, len(seeds), func(r int, s Spec) ([]float32, error) { return values[r][s.Name], nil })
}

// Member copies one model's tensors to the host, by name, without the member axis.
func (w *Weights) Member(r int) (map[string][]float32, error) {
	if r < 0 || r >= w.Members {
		return nil, fmt.Errorf("member %d: there are %d", r, w.Members)
	}
	out := map[string][]float32{}
	for i, s := range w.Specs {
		flat, err := Floats(w.Values[i])
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", s.Name, err)
		}
		layers := 1
		if s.Layered {
			layers = s.Dims[0]
		}
		rest := len(flat) / layers / w.Members
		v := make([]float32, 0, layers*rest)
		for l := range layers {
			v = append(v, flat[(l*w.Members+r)*rest:][:rest]...)
		}
		out[s.Name] = v
	}
	return out, nil
}

// Select returns the weights of one member alone.
func (w *Weights) Select(r int) (*Weights, error) {
	values, err := w.Member(r)
	if err != nil {
		return nil, err
	}
	return NewWeights(w.Model, 1, func(_ int, s Spec) ([]float32, error) { return values[s.Name], nil })
}

// Count is the number of scalars of one member.
func (w *Weights) Count() int {
	n := 0
	for _, s := range w.Specs {
		n += s.Size()
	}
	return n / w.Members
}

// Floats copies a tensor to the host as float32.
func Floats(t *tensors.Tensor) ([]float32, error) {
	switch t.DType() {
	case dtypes.Float32:
		return tensors.CopyFlatData[float32](t)
	case dtypes.Float64:
		wide, err := tensors.CopyFlatData[float64](t)
		out := make([]float32, len(wide))
		for i, v := range wide {
			out[i] = float32(v)
		}
		return out, err
	}
	return nil, fmt.Errorf("a tensor of shape %s does not hold floats", t.Shape())
}
