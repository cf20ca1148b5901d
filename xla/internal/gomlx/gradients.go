package gomlx

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// OnGradient makes rule the gradient of one kind of node in all graphs of the process. The rule receives GoMLX's own, nil where
// there is none. Call it only from init functions.
func OnGradient(kind NodeType, rule func(n *Node, v []*Node, s shapes.Shape, gomlx VJP) []*Node) {
	old := VJPRegistration[kind]
	VJPRegistration[kind] = func(n *Node, v []*Node, s shapes.Shape) []*Node { return rule(n, v, s, old) }
}

// Product holds the parameters that a DotGeneral node was made with.
type Product struct{ inputs reflect.Value }

// ProductOf panics if n is another kind of node.
func ProductOf(n *Node) Product { return Product{field(n, "inputs").Elem().Elem()} }

func (p Product) field(name string) unsafe.Pointer {
	f := p.inputs.FieldByName(name)
	if !f.IsValid() {
		panic("a product has no field " + name)
	}
	return unsafe.Pointer(f.UnsafeAddr())
}

// Config can be changed while the gradient of the node is built, which copies it.
func (p Product) Config() *compute.DotGeneralConfig {
	return (*compute.DotGeneralConfig)(p.field("config"))
}

// Axes of side 0 or 1: "BatchAxes" or "ContractingAxes".
func (p Product) Axes(kind string, side int) []int {
	return *(*[]int)(p.field([]string{"lhs", "rhs"}[side] + kind))
}
