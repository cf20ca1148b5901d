package xla

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// builder makes closures of closures: GoMLX always starts a closure from the main function.
type builder struct {
	compute.Builder
	current compute.Function
}

func (b builder) Main() compute.Function { return b.current }

// closure builds fn as a closure of the function under construction. GoMLX caches scalars per graph and the XLA
// builder caches reductions; both caches are hidden meanwhile, or a closure would use a value of another scope.
func closure(g *Graph, fn func() Nodes) *Function {
	b := field(g, "builder")
	old := b.Interface().(compute.Builder)
	hidden := []reflect.Value{field(g, "scalars"), field(g, "tensorConstants")}
	for _, name := range []string{"cacheReductions", "cacheArgMinMax", "cacheSelections"} {
		if f := field(old, name); f.IsValid() {
			hidden = append(hidden, f)
		}
	}
	for _, f := range hidden {
		saved := reflect.ValueOf(f.Interface())
		f.Set(reflect.MakeMap(f.Type()))
		defer f.Set(saved)
	}
	restore := func() { b.Set(reflect.ValueOf(old)) }
	defer restore()
	b.Set(reflect.ValueOf(builder{old, field(field(g, "currentFunc").Interface(), "backendFunc").Interface().(compute.Function)}))
	return NewClosure(g, func(*Graph) Nodes { restore(); return fn() })
}

// field reaches an unexported field of GoMLX (versions are pinned; the tests of this package cover each use).
func field(p any, name string) reflect.Value {
	v := reflect.ValueOf(p)
	for v.Kind() == reflect.Struct { // a nested builder wrapper
		v = reflect.ValueOf(v.Interface().(builder).Builder)
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() {
		return f
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

func panicf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
