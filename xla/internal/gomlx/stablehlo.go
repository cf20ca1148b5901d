//go:build !noxla

package gomlx

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/stablehlo"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Value returns the address of the StableHLO value behind a node, nil if the backend is not XLA.
func Value(n *Node) **stablehlo.Value {
	rv := reflect.ValueOf(InternalBackendOutputs(n)[0])
	if rv.Kind() != reflect.Pointer || rv.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := rv.Elem().FieldByName("value")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*stablehlo.Value]() {
		return nil
	}
	return (**stablehlo.Value)(unsafe.Pointer(f.UnsafeAddr()))
}

// SetAttribute sets an attribute of the statement that produces a value.
func SetAttribute(v *stablehlo.Value, name string, value any) {
	field(v, "stmt").Interface().(*stablehlo.Statement).Attributes[name] = value
}

func tryStable(b compute.Backend, n *Node, stable bool) error {
	v := Value(n)
	if !stable {
		return nil
	}
	if v == nil {
		return mismatch("the nodes of %s hold no StableHLO value", b.Name())
	}
	if _, err := find(*v, "stmt"); err != nil {
		return mismatch("%v", err)
	}
	for _, name := range reductionCaches {
		if _, err := find(field(n.Graph(), "builder").Interface(), name); err != nil {
			return mismatch("%v", err)
		}
	}
	return nil
}
