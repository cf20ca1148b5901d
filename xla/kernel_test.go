package xla

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// TestInPlaceReachesTheCompiler: XLA checks that a result which lies over an operand has its shape, and only then finds
// that this device has no such kernels.
func TestInPlaceReachesTheCompiler(t *testing.T) {
	for _, d := range devices(t) {
		if d.Kind != "cpu" {
			continue
		}
		for operand, want := range []string{"output_operand_alias", "No registered implementation"} {
			e := MustNewExec(d.Backend, func(x, y *Node) []*Node {
				k := Kernel{Name: "k", Source: "module {}", Grid: [3]int{1}, Warps: 4, Stages: 1, InPlace: map[int]int{1: operand}}
				return TritonCall(k, []shapes.Shape{shapes.Make(dtypes.Float32, 2), shapes.Make(dtypes.Float32, 5)}, x, y)
			})
			_, err := e.Call([]float32{1, 2, 3}, []float32{1, 2, 3, 4, 5})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("result over operand %d: %v, want an error about %q", operand, err, want)
			}
		}
	}
}

func TestKernelsAreFoundByNameAndSizes(t *testing.T) {
	ks := Kernels{FS: fstest.MapFS{
		"kernels/walk-bf16-64-16.ttir": {Data: []byte("module {\n  tt.func public @my_walk(%x: !tt.ptr<f32>, %N: i32) attributes {noinline = false} {\n  }\n}\n")},
		"kernels/loss.ttir":            {Data: []byte("module {}")},
	}}
	if !ks.Has("walk-bf16", 64, 16) || !ks.Has("loss") || ks.Has("walk-bf16", 64) || ks.Has("walk-bf16", 16, 64) {
		t.Error("Has tells of other files than there are")
	}
	var said []string
	defer func(old func(string)) { Notice = old }(Notice)
	Notice = func(line string) { said = append(said, line) }
	for range 2 {
		if !ks.Serves("loss") || ks.Serves("walk-bf16", 64, 48) {
			t.Error("Serves tells of other files than there are")
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "kernels/walk-bf16-64-48.ttir") {
		t.Errorf("said %q, want one line about the missing kernel", said)
	}
	k := ks.Kernel("walk-bf16", 64, 16).Bind(map[string]int{"N": 3})
	if k.Name != "my_walk" || !strings.Contains(k.Source, "@my_walk(%x: !tt.ptr<f32>) attributes {noinline = false} {\n    %N = arith.constant 3 : i32\n") {
		t.Errorf("%s is bound to %s", k.Name, k.Source)
	}
	for name, want := range map[string]string{"sum": "kernels/sum.ttir", "loss": "kernels/loss.ttir has no public function"} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", name, err, want)
				}
			}()
			ks.Kernel(name)
		}()
	}
}
