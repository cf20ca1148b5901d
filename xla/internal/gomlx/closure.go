package gomlx

import (
	"reflect"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// builder lets closures contain closures: GoMLX always starts a closure from the main function.
type builder struct {
	compute.Builder
	current compute.Function
}

func (b builder) Main() compute.Function { return b.current }

// reductionCaches are maps of go-xla's builder.
var reductionCaches = []string{"cacheReductions", "cacheArgMinMax", "cacheSelections"}

// Closure builds fn as a closure of the function under construction. GoMLX caches scalars per graph and the XLA builder caches
// reductions; both caches are hidden while fn is built, or the closure would use a value of another scope.
func Closure(g *Graph, fn func() []*Node) *Function {
	b := field(g, "builder")
	old := b.Interface().(compute.Builder)
	hidden := []reflect.Value{field(g, "scalars"), field(g, "tensorConstants")}
	for _, name := range reductionCaches {
		if f, err := find(old, name); err == nil { // the Go backend has none
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
	return NewClosure(g, func(*Graph) []*Node { restore(); return fn() })
}
