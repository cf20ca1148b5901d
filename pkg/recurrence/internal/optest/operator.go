package optest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// Role says which axes an input has in front.
type Role int

const (
	Whole Role = iota // none: a parameter
	Token             // [batch, tokens, …]
	State             // [batch, …]: carried from one call to the next
)

// Input is one argument of an operator.
type Input struct {
	Name  string
	Role  Role
	Dims  []int // with batch and tokens
	Value []float64
}

// Operator is what the tests know of one. Inputs and outputs keep their order: those of Naive, Chunk and Step are y and
// then the states as among the inputs.
type Operator struct {
	Name   string
	Random func(r *rand.Rand, batch, tokens int) []Input
	// Extreme sets the gates to gate where they decay most, leaving every third token almost undecayed if mixed.
	Extreme func(in []Input, gate float64, mixed bool)
	Naive   func(in []Input, segments []int) [][]float64
	Chunk   func(in []*Node, segments *Node, q int) []*Node
	Step    func(in []*Node) []*Node // inputs by token lack that axis
	// Restart is the state of a document that begins; nil is zeros.
	Restart func(states []*Node) []*Node
	// Invariant is what of the outputs a test compares and differentiates; nil is all.
	Invariant func(outs []*Node) []*Node
	// Invariants is the same of flat values.
	Invariants func(outs [][]float64) [][]float64
	Padded     func(in []*Node, length *Node, q int) []*Node // or nil: Chunk with tokens from length on as padding
	Chunks     []int                                         // lengths of chunks to try
	Single     float64                                       // error allowed in float32, relative to the largest entry; 0 is 1e-5
}

// form is one way to compute the operator as a graph.
type form struct {
	name string
	run  func(in []*Node, segments *Node, q int, infer bool) []*Node
}

func (o Operator) forms() []form {
	return []form{
		{"chunk", func(in []*Node, segments *Node, q int, _ bool) []*Node { return o.view(o.Chunk(in, segments, q)) }},
		{"step", func(in []*Node, segments *Node, _ int, infer bool) []*Node {
			return o.view(o.stepwise(in, segments, infer))
		}},
	}
}

func (o Operator) view(outs []*Node) []*Node {
	if o.Invariant == nil {
		return outs
	}
	return o.Invariant(outs)
}

func (o Operator) views(outs [][]float64) [][]float64 {
	if o.Invariants == nil {
		return outs
	}
	return o.Invariants(outs)
}

// roles of the inputs.
func (o Operator) roles() (roles []Role) {
	for _, in := range o.Random(rand.New(rand.NewPCG(1, 1)), 1, 1) {
		roles = append(roles, in.Role)
	}
	return roles
}

// stepwise runs Step over the tokens.
func (o Operator) stepwise(in []*Node, segments *Node, infer bool) []*Node {
	var tokens, states, whole []*Node
	roles := o.roles()
	for i, role := range roles {
		switch role {
		case Token:
			tokens = append(tokens, tokensFirst(in[i]))
		case State:
			states = append(states, in[i])
		default:
			whole = append(whole, in[i])
		}
	}
	n := tokens[0].Shape().Dim(0)
	if segments != nil {
		starts := NotEqual(segments, ShiftWithScalar(segments, 1, ShiftDirRight, 1, 0))
		tokens = append(tokens, tokensFirst(ConvertDType(starts, dtypes.Int32)))
	}
	last, ys := xla.Scan{N: n, Infer: infer}.Run(states, tokens, whole, func(_ *xla.Iter, carry, xs, consts []*Node) (next, out []*Node) {
		if segments != nil {
			carry = o.restart(carry, xs[len(xs)-1])
		}
		args, at := make([]*Node, len(roles)), map[Role]int{}
		for i, role := range roles {
			args[i] = map[Role][]*Node{Token: xs, State: carry, Whole: consts}[role][at[role]]
			at[role]++
		}
		outs := o.Step(args)
		return outs[1:], outs[:1]
	})
	return append([]*Node{tokensFirst(ys[0])}, last...)
}

func (o Operator) restart(states []*Node, starts *Node) (next []*Node) {
	var fresh []*Node
	if o.Restart != nil {
		fresh = o.Restart(states)
	}
	for i, s := range states {
		zero := ZerosLike(s)
		if fresh != nil {
			zero = fresh[i]
		}
		mask := starts
		for mask.Rank() < s.Rank() {
			mask = InsertAxes(mask, -1)
		}
		here := GreaterThan(mask, ZerosLike(mask))
		next = append(next, Where(BroadcastToShape(here, shapes.Make(dtypes.Bool, s.Shape().Dimensions...)), zero, s))
	}
	return next
}

func tokensFirst(x *Node) *Node {
	perm := []int{1, 0, 2, 3, 4, 5}
	return TransposeAllAxes(x, perm[:x.Rank()]...)
}

func arguments(t dtypes.DType, in []Input) (args []any) {
	for _, x := range in {
		args = append(args, Tensor(t, x.Value, x.Dims...))
	}
	return args
}

// Arguments are the inputs in float64.
func Arguments(in []Input) []any { return arguments(dtypes.Float64, in) }

func (o Operator) single() float64 {
	if o.Single > 0 {
		return o.Single
	}
	return 1e-5
}

// All runs every test of the package.
func (o Operator) All(t *testing.T) {
	t.Run("lengths", o.Lengths)
	t.Run("splits", o.Splits)
	t.Run("segments", o.Segments)
	t.Run("differences", o.Differences)
	t.Run("extremes", o.Extremes)
	t.Run("padding", o.Padding)
	t.Run("loop", o.Loop)
}

func label(parts ...any) string { return fmt.Sprint(parts...) }
