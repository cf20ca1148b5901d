//go:build !noxla

package xla

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/stablehlo"
	xshapes "github.com/gomlx/go-xla/types/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla/internal/gomlx"
)

// TritonCall emits the kernel as a custom call of XLA's GPU compiler. The kernel receives the addresses of ins and then of the
// results, all row-major. It has no gradient: wrap it in [CustomVJP].
func TritonCall(k Kernel, outs []shapes.Shape, ins ...*Node) Nodes {
	vals, results := make([]*stablehlo.Value, len(ins)), make([]xshapes.Shape, len(outs))
	for i, n := range ins {
		v := gomlx.Value(n)
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
	if len(k.InPlace) > 0 {
		gomlx.SetAttribute(res[0], "output_operand_aliases", k.aliases(len(outs)))
	}
	nodes := make(Nodes, len(outs))
	for i, s := range outs {
		nodes[i] = OptimizationBarrier(Zeros(ins[0].Graph(), s)) // a node of its own, later pointed at the result
		*gomlx.Value(nodes[i]) = res[i]
	}
	return nodes
}

// literal is an attribute in text form.
type literal string

// ToStableHLO returns it as one of go-xla's literals.
func (l literal) ToStableHLO() string { return string(l) }

func (k Kernel) aliases(results int) literal {
	var list []string
	for _, result := range slices.Sorted(maps.Keys(k.InPlace)) {
		index := fmt.Sprint(result)
		if results == 1 {
			index = ""
		}
		list = append(list, fmt.Sprintf("#stablehlo.output_operand_alias<output_tuple_indices = [%s], operand_index = %d, operand_tuple_indices = []>", index, k.InPlace[result]))
	}
	return literal("[" + strings.Join(list, ", ") + "]")
}
