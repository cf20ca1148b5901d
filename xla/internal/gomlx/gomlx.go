// Package gomlx is the one door to what GoMLX and go-xla do not export: their private fields, their table of gradients, what they
// print. PATCHES.md lists each use, why it is there and what would make it unnecessary. [Check] compares the versions in use with
// those that the patches were written for, and tries every one of them on a small graph, before any other graph is built.
package gomlx

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Versions that the patches were written for and are tested with.
var Versions = map[string]string{
	"github.com/gomlx/gomlx":   "v0.28.8",
	"github.com/gomlx/compute": "v0.1.6",
	"github.com/gomlx/go-xla":  "v0.4.5",
}

const remedy = "the patches in xla/internal/gomlx are for gomlx %s, compute %s and go-xla %s: require these in go.mod " +
	"(go get MODULE@VERSION), or go through PATCHES.md there, run the tests of xla, and change Versions"

func mismatch(format string, args ...any) error {
	return fmt.Errorf(format+"; "+remedy, append(args, Versions["github.com/gomlx/gomlx"], Versions["github.com/gomlx/compute"],
		Versions["github.com/gomlx/go-xla"])...)
}

var checked struct {
	sync.Mutex
	kinds []string
}

// Check must be called with every backend that is opened; kind is its "go", "cpu" or "cuda". The error says what to do.
func Check(kind string, b compute.Backend) error {
	checked.Lock()
	defer checked.Unlock()
	if slices.Contains(checked.kinds, kind) {
		return nil
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if err := checkVersions(info.Deps); err != nil {
			return err
		}
	}
	if err := try(b, kind != "go"); err != nil {
		return err
	}
	checked.kinds = append(checked.kinds, kind)
	return nil
}

// checkVersions skips modules missing from the build information, as in tests.
func checkVersions(modules []*debug.Module) error {
	for _, m := range modules {
		if want, patched := Versions[m.Path]; patched && m.Replace == nil && m.Version != want {
			return mismatch("%s is %s, not %s", m.Path, m.Version, want)
		}
	}
	return nil
}

// try reaches every private field once, on a graph that is never compiled.
func try(b compute.Backend, stable bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = mismatch("GoMLX is not as expected: %v", r)
		}
	}()
	g := NewGraph(b, "check")
	defer g.Finalize()
	x := Parameter(g, "x", shapes.Make(dtypes.BFloat16, 3, 4))
	y := DotGeneral(x, []int{1}, nil, x, []int{1}, nil)
	product := ProductOf(y)
	if product.Config() == nil || !slices.Equal(product.Axes("ContractingAxes", 1), []int{1}) || len(product.Axes("BatchAxes", 0)) != 0 {
		return mismatch("the axes of a product are not where they were")
	}
	for _, kind := range []NodeType{NodeTypeDotGeneral, NodeTypeOptimizationBarrier} {
		if VJPRegistration[kind] == nil {
			return mismatch("GoMLX has no gradient of %s to extend", kind)
		}
	}
	c := Closure(g, func() []*Node { return []*Node{OnePlus(Parameter(g, "inner", shapes.Make(dtypes.Float32)))} })
	if c == nil {
		return mismatch("a closure cannot be built")
	}
	return tryStable(b, x, stable)
}

// field reaches an unexported field of the value that p points to.
func field(p any, name string) reflect.Value {
	f, err := find(p, name)
	if err != nil {
		panic(err)
	}
	return f
}

func find(p any, name string) (reflect.Value, error) {
	v := reflect.ValueOf(p)
	for v.Kind() == reflect.Struct { // a nested builder
		v = reflect.ValueOf(v.Interface().(builder).Builder)
	}
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("%T is not a pointer to a struct", p)
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() {
		return f, fmt.Errorf("%T has no field %s", p, name)
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem(), nil
}
