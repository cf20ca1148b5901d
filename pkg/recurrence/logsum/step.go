package logsum

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
)

// State is num·e^Max and den·e^Max, each [batch, channels] in float32 or float64.
type State struct{ Num, Den, Max *Node }

// NewState is an empty state.
func NewState(g *Graph, t dtypes.DType, batch, channels int) State {
	shape := shapes.Make(t, batch, channels)
	return State{Zeros(g, shape), Zeros(g, shape), BroadcastToShape(Scalar(g, t, Empty), shape)}
}

// Step is the recurrence for one token: k and v [batch, channels], logDecay and bonus [(batch,) channels]. It returns y [batch,
// channels] and the new state.
func Step(k, v, logDecay, bonus *Node, s State) (y *Node, next State) {
	t := s.Num.DType()
	k, v = ConvertDType(k, t), ConvertDType(v, t)
	read := s.plus(s.Max, Add(k, chunking.PerRow(bonus, 1)), v)
	next = s.plus(Add(s.Max, chunking.PerRow(logDecay, 1)), k, v)
	return Div(read.Num, read.Den), next
}

// plus is the state with its e^max replaced by e^kept and e^key (1, v) added.
func (s State) plus(kept, key, v *Node) State {
	top := StopGradient(Max(kept, key))
	a, b := Exp(Sub(kept, top)), Exp(Sub(key, top))
	return State{Add(Mul(a, s.Num), Mul(b, v)), Add(Mul(a, s.Den), b), top}
}

// Average is num / den, the weighted mean of the values so far; 0 where nothing was written.
func (s State) Average() *Node {
	empty := Equal(s.Den, ZerosLike(s.Den))
	return Where(empty, ZerosLike(s.Num), Div(s.Num, Where(empty, OnesLike(s.Den), s.Den)))
}

// Filled is the state with the max of an empty one where nothing was written, so that zeros are an empty state.
func (s State) Filled() State {
	empty := BroadcastToShape(Scalar(s.Max.Graph(), s.Max.DType(), Empty), s.Max.Shape())
	return State{s.Num, s.Den, Where(Equal(s.Den, ZerosLike(s.Den)), empty, s.Max)}
}

// unless is the state after a token where live [batch, 1] is 1, and s where it is 0.
func (s State) unless(live *Node, after State) State {
	mask := BroadcastToShape(GreaterThan(live, ZerosLike(live)), shapes.Make(dtypes.Bool, s.Num.Shape().Dimensions...))
	return State{Where(mask, after.Num, s.Num), Where(mask, after.Den, s.Den), Where(mask, after.Max, s.Max)}
}
