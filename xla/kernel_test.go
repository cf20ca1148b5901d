package xla

import (
	"strings"
	"testing"

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
