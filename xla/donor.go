//go:build !noxla

package xla

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/go-xla/stablehlo"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// MarkDonor lets XLA reuse a parameter's memory for an output of the same shape (jax.buffer_donor).
// The caller must also donate the argument's buffer. On the Go backend it does nothing.
func MarkDonor(param *Node) {
	v := stableValue(param)
	if v == nil {
		return
	}
	if (*v).Attributes == nil {
		(*v).Attributes = map[string]any{}
	}
	(*v).Attributes["jax.buffer_donor"] = true
}

// stableValue is the address of the StableHLO value behind a node, nil when the backend is not XLA.
func stableValue(n *Node) **stablehlo.Value {
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
