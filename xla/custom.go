//go:build !noxla

package xla

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/stablehlo"
	xshapes "github.com/gomlx/go-xla/types/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// TritonCall emits the kernel as a custom call of XLA's GPU compiler. The kernel gets the addresses of ins, then of the
// results, all row-major. There is no gradient: wrap it in [CustomVJP].
func TritonCall(k Kernel, outs []shapes.Shape, ins ...*Node) Nodes {
	vals, results := make([]*stablehlo.Value, len(ins)), make([]xshapes.Shape, len(outs))
	for i, n := range ins {
		v := stableValue(n)
		if v == nil {
			panicf("xla: kernel %s needs XLA, the backend is %s", k.Name, n.Graph().Backend())
		}
		vals[i] = *v
	}
	for i, s := range outs {
		results[i] = xshapes.Make(s.DType, s.Dimensions...)
	}
	res, err := stablehlo.CustomCallV2("__gpu$xla.gpu.triton", k.config(), vals, make([][]int, len(ins)), results, make([][]int, len(outs)))
	if err != nil {
		panicf("xla: kernel %s: %w", k.Name, err)
	}
	nodes := make(Nodes, len(outs))
	for i, s := range outs {
		nodes[i] = OptimizationBarrier(Zeros(ins[0].Graph(), s)) // a node of its own, re-pointed at the result
		*stableValue(nodes[i]) = res[i]
	}
	return nodes
}
