// Package optest holds recurrent operators to their definitions: every length around a chunk's end, random partitions,
// packed documents, finite differences and extreme gates, for each form of each operator.
package optest

import (
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

var (
	once   sync.Once
	opened []*xla.Device
)

// Devices are the Go backend and, where its plug-in is, XLA on the CPU.
func Devices(t testing.TB) []*xla.Device {
	once.Do(func() {
		if os.Getenv("XLA_FLAGS") == "" { // most of the time of these tests is LLVM's
			os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
		}
		for _, name := range []string{"go", "cpu"} {
			d, err := xla.Open(name)
			if err == nil {
				opened = append(opened, d)
			} else if name == "go" {
				t.Fatal(err)
			}
		}
	})
	return opened
}

// Run computes fn once and returns its outputs flat.
func Run(t testing.TB, d *xla.Device, fn func(in []*Node) []*Node, args ...any) [][]float64 {
	t.Helper()
	e := MustNewExec(d.Backend, fn)
	defer e.Finalize()
	return call(t, e, args...)
}

func call(t testing.TB, e *Exec, args ...any) (all [][]float64) {
	t.Helper()
	outs, err := e.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outs {
		all = append(all, Floats(o))
	}
	return all
}

// Floats are the entries of an output: float32, float64 or int32.
func Floats(o *tensors.Tensor) (out []float64) {
	switch o.DType() {
	case dtypes.Float64:
		return tensors.MustCopyFlatData[float64](o)
	case dtypes.Int32:
		for _, v := range tensors.MustCopyFlatData[int32](o) {
			out = append(out, float64(v))
		}
		return out
	}
	for _, v := range tensors.MustCopyFlatData[float32](o) {
		out = append(out, float64(v))
	}
	return out
}

// Tensor is an argument of the dtype.
func Tensor(t dtypes.DType, v []float64, dims ...int) *tensors.Tensor {
	if t == dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(v, dims...)
	}
	single := make([]float32, len(v))
	for i := range v {
		single[i] = float32(v[i])
	}
	return tensors.FromFlatDataAndDimensions(single, dims...)
}

// Near fails where an entry is off by more than rel of the largest.
func Near(t testing.TB, name string, got, want []float64, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	scale := 1e-30
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= rel*scale) {
			t.Fatalf("%s: entry %d is %g, want %g (largest %g)", name, i, got[i], want[i], scale)
		}
	}
}

// Normal draws n standard normal numbers times scale.
func Normal(r *rand.Rand, n int, scale float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = scale * r.NormFloat64()
	}
	return v
}

// Uniform draws n numbers between lo and hi.
func Uniform(r *rand.Rand, n int, lo, hi float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = lo + (hi-lo)*r.Float64()
	}
	return v
}

// Moments are sum and sum of squares.
func Moments(v []float64) (sum, squares float64) {
	for _, x := range v {
		sum, squares = sum+x, squares+x*x
	}
	return sum, squares
}
