package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
)

// CheckControls panics on a control that the model does not list, or of another shape than for all rows or each of them.
func CheckControls(m lm.Model, rows int, controls map[string]*Node) {
	for name, node := range controls {
		base := strings.TrimSuffix(strings.TrimSuffix(name, lm.From), lm.Until)
		c, err := lm.ControlOf(m, base)
		if err != nil {
			panic(err)
		}
		dims, integer := c.Dims, c.Integer
		if base != name {
			dims, integer = dims[:1], true
		}
		got := node.Shape().Dimensions
		one, each := append([]int{m.Layers()}, dims...), append([]int{m.Layers(), rows}, dims...)
		if !slices.Equal(got, one) && !slices.Equal(got, each) || integer != (node.DType() == dtypes.Int32) {
			panic(fmt.Errorf("%s: control %q is %s, must be %v or %v (int32: %v)", m.Name(), name, node.Shape(), one, each, integer))
		}
	}
}

// Change applies a control of the model to x [batch or 1, tokens or 1, …] where it is given and at the positions where it acts: with
// gets x and the control's value as [batch or 1, 1, Dims…]. x has the control's Dims from its third axis on, or the first of
// them alone, or it has more axes, over which with spreads the value itself.
func (l *Layer) Change(name string, x *Node, with func(x, value *Node) *Node) *Node {
	if l.controls[name] == nil {
		return x
	}
	c, err := lm.ControlOf(l.Model, name)
	if err != nil {
		panic(err)
	}
	return Controls{l.controls, l.Offset, l.Rows, l.Tokens}.Change(name, len(c.Dims), x, with)
}

// Controls are those given of one layer, by name, and the positions of the tokens that it reads.
type Controls struct {
	Values       map[string]*Node
	Offset       *Node // position of the first token, nil for 0
	Rows, Tokens int
}

// Change applies the control, whose value has so many dims, to x; see [Layer.Change].
func (a Controls) Change(name string, dims int, x *Node, with func(x, value *Node) *Node) *Node {
	value := a.Values[name]
	if value == nil {
		return x
	}
	changed := with(x, perToken(value, dims))
	full := append([]int{a.Rows, a.Tokens}, changed.Shape().Dimensions[2:]...)
	on := a.act(name, full)
	if on == nil {
		return changed
	}
	if ones := Ones(x.Graph(), shapes.Make(x.DType(), full...)); x.Shape().Size() != ones.Shape().Size() {
		x, changed = Mul(x, ones), Mul(changed, ones)
	}
	return Where(on, changed, x)
}

// perToken turns a control's [(batch,) Dims…] of so many dims into [batch or 1, 1, Dims…].
func perToken(value *Node, dims int) *Node {
	if value.Rank() > dims {
		return InsertAxes(value, 1)
	}
	return InsertAxes(value, 0, 0)
}

// act is where in the shape [batch, tokens, Dims[0], …] a control acts, nil for everywhere. It and what uses it never broadcast
// explicitly, because the Go backend loses such nodes in loops.
func (a Controls) act(name string, full []int) (on *Node) {
	for _, suffix := range []string{lm.From, lm.Until} {
		limit := a.Values[name+suffix]
		if limit == nil {
			continue
		}
		at := Iota(limit.Graph(), shapes.Make(dtypes.Int32, full...), 1)
		if a.Offset != nil {
			at = Add(at, a.Offset)
		}
		for limit = perToken(limit, 1); limit.Rank() < at.Rank(); {
			limit = InsertAxes(limit, -1)
		}
		is := GreaterOrEqual(at, limit)
		if suffix == lm.Until {
			is = LessThan(at, limit)
		}
		if on == nil {
			on = is
		} else {
			on = LogicalAnd(on, is)
		}
	}
	return on
}

// PerHead spreads a control's value [batch or 1, 1, heads] over the axes that x has after its heads, as Change's with.
func PerHead(with func(x, y *Node) *Node) func(x, value *Node) *Node {
	return func(x, value *Node) *Node {
		for value.Rank() < x.Rank() {
			value = InsertAxes(value, -1)
		}
		return with(x, ConvertDType(value, x.DType()))
	}
}

// Freeze is value where that is a number, x elsewhere: with of controls that hold a quantity.
func Freeze(x, value *Node) *Node {
	value = Add(ConvertDType(value, x.DType()), ZerosLike(x))
	return Where(Equal(value, value), value, x)
}

// Rescale gives the rows of x [batch, tokens, n, width] the norm value [.., n] where that is a number.
func Rescale(x, value *Node) *Node {
	value = InsertAxes(value, -1)
	wide := ConvertDType(x, value.DType())
	scaled := Mul(wide, Div(value, MaxScalar(Sqrt(ReduceAndKeep(Square(wide), ReduceSum, -1)), 1e-30)))
	known := Equal(value, Add(value, ZerosLike(wide))) // false where it is NaN
	return Where(known, ConvertDType(scaled, x.DType()), x)
}
