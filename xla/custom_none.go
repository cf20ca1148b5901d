//go:build noxla

package xla

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// TritonCall panics without XLA.
func TritonCall(k Kernel, _ []shapes.Shape, _ ...*graph.Node) Nodes {
	panicf("xla: kernel %s: this program was built without XLA", k.Name)
	return nil
}
