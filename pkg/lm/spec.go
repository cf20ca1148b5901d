package lm

import (
	"fmt"
	"slices"
)

// Role says what a tensor is for.
type Role string

// Roles of the tensors of a state.
const (
	Recurrent   Role = "recurrent"   // what the recurrence itself carries from token to token
	Convolution Role = "convolution" // the last inputs of a short convolution
	Shift       Role = "shift"       // the last input of a token shift
	Cache       Role = "cache"       // keys and values of past tokens, see Spec.Grows
	Length      Role = "length"      // how many tokens the caches of a row hold, [layers, batch] or [batch]
	Other       Role = "other"       // anything else that has to be carried, such as a position
)

// Roles of parameters; the default, "", is a vector: a norm's weight, a bias, a decay.
const (
	Matrix    Role = "matrix"    // of a product per token, [layers, members, out, in]
	Filter    Role = "filter"    // of a short convolution, [layers, members, channels, taps]
	Embedding Role = "embedding" // a row is looked up per token, [members, vocab, width]; also the head where that is tied
	Head      Role = "head"      // of the logits, [members, vocab, width]
)

// outAxis is the axis of outputs of a Matrix or a Filter and of the width of an Embedding or a Head.
const outAxis = 2

// Axis names an axis of a tensor.
type Axis string

// Axes of states, parameters, controls and probes. A recurrent state is a matrix per head, in either order of value and
// key; without a head axis there is one head per layer, and a channel axis counts as its value axis.
const (
	Layer    Axis = "layer"
	Member   Axis = "member"
	Batch    Axis = "batch"
	Token    Axis = "token"
	Position Axis = "position" // of a cache
	HeadAxis Axis = "head"
	Group    Axis = "group" // of heads that share keys and queries
	Value    Axis = "value" // entries of a head's value: Mamba-2's headDim, P
	Key      Axis = "key"   // entries of a head's key: Mamba-2's state, N
	Channel  Axis = "channel"
	Tap      Axis = "tap" // of a short convolution
	OutAxis  Axis = "out"
	InAxis   Axis = "in"
)

// Spec names a tensor of a model and says what it is.
type Spec struct {
	Name    string
	Dims    []int
	Axes    []Axis // one for each of Dims; parameters may leave them out
	Role    Role
	Layered bool // the first axis is the layer
	Decay   bool // of a parameter: subject to weight decay
	Grows   bool // of a state: Dims has the least size of the axis Position; Runner and Pass make room before tokens are read
}

// Size is the number of entries.
func (s Spec) Size() int {
	n := 1
	for _, d := range s.Dims {
		n *= d
	}
	return n
}

// Along is the index of an axis, −1 if the tensor has none of that name.
func (s Spec) Along(a Axis) int { return slices.Index(s.Axes, a) }

// Dim is the size of an axis, 1 if the tensor has none of that name.
func (s Spec) Dim(a Axis) int {
	if i := s.Along(a); i >= 0 {
		return s.Dims[i]
	}
	return 1
}

// Matrices are the sizes of a recurrent state: heads of a layer, and of each head's matrix the entries of its value and of
// its key. A state of channels without heads is one head.
func (s Spec) Matrices() (heads, values, keys int) {
	return s.Dim(HeadAxis), s.Dim(Value) * s.Dim(Channel), s.Dim(Key)
}

func (s Spec) check() error {
	if len(s.Axes) != len(s.Dims) {
		return fmt.Errorf("state %s: %d axes are named %v, the shape is %v", s.Name, len(s.Axes), s.Axes, s.Dims)
	}
	return nil
}

// Find returns the spec of a name; the error lists those there are.
func Find(specs []Spec, name string) (Spec, error) {
	if i := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name }); i >= 0 {
		return specs[i], nil
	}
	return Spec{}, fmt.Errorf("no tensor %q; there are %s", name, list(specs))
}

// MainState is the first recurrent state of a model or, where it has none, the first state, such as a cache. A model without any
// state has the zero Spec.
func MainState(m Model) (main Spec) {
	for i, s := range m.State(1) {
		if s.Role == Recurrent {
			return s
		}
		if i == 0 {
			main = s
		}
	}
	return main
}

// StateOf returns the spec of a state of the model for a batch of 1; the empty name stands for its first recurrent one.
func StateOf(m Model, name string) (Spec, error) {
	specs := m.State(1)
	for _, s := range specs {
		if s.Name == name || name == "" && s.Role == Recurrent {
			return s, s.check()
		}
	}
	if name == "" {
		return Spec{}, fmt.Errorf("%s has no recurrent state; its state is %s", m.Name(), list(specs))
	}
	return Spec{}, fmt.Errorf("%s has no state %q; it has %s", m.Name(), name, list(specs))
}

// Matrices are the sizes of the model's first recurrent state, see Spec.Matrices; 0 where there is none.
func Matrices(m Model) (heads, values, keys int) {
	s, err := StateOf(m, "")
	if err != nil {
		return 0, 0, 0
	}
	return s.Matrices()
}
