package xla

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Gradients that GoMLX lacks: Rsqrt, Expm1, bf16 dots whose backward stays bf16, and functions with a hand-written one.

// hookKey is where a graph keeps the hand-written backward of a barrier node.
type hookKey NodeId

func init() {
	barrier := VJPRegistration[NodeTypeOptimizationBarrier]
	VJPRegistration[NodeTypeOptimizationBarrier] = func(n *Node, v Nodes, s shapes.Shape) Nodes {
		if backward, ok := n.Graph().State(hookKey(n.Id())).(func(Nodes) Nodes); ok {
			return backward(v)
		}
		return barrier(n, v, s)
	}
	VJPRegistration[NodeTypeRsqrt] = func(n *Node, v Nodes, _ shapes.Shape) Nodes {
		return Nodes{Mul(v[0], MulScalar(Mul(n, Square(n)), -0.5))}
	}
	VJPRegistration[NodeTypeExpm1] = func(n *Node, v Nodes, _ shapes.Shape) Nodes {
		return Nodes{Mul(v[0], OnePlus(n))}
	}
	dot := VJPRegistration[NodeTypeDotGeneral]
	VJPRegistration[NodeTypeDotGeneral] = func(n *Node, v Nodes, s shapes.Shape) Nodes {
		if in := n.Inputs(); in[0].DType() == dtypes.BFloat16 && in[1].DType() == dtypes.BFloat16 {
			f := reflect.ValueOf(n).Elem().FieldByName("inputs").Elem().Elem().FieldByName("config")
			cfg := (*compute.DotGeneralConfig)(unsafe.Pointer(f.UnsafeAddr()))
			defer func(a dtypes.DType) { cfg.AccumulatorDType = a }(cfg.AccumulatorDType)
			cfg.AccumulatorDType = dtypes.BFloat16
		}
		return dot(n, v, s)
	}
}

// CustomVJP computes fwd(in); its gradient is bwd of the outputs' adjoints (nil: none), one node per input (nil: none).
// bwd may use anything without a gradient of its own. The barrier that carries it stops fusion across.
func CustomVJP(fwd func(in Nodes) Nodes, bwd func(adjoints Nodes) Nodes, in ...*Node) Nodes {
	stopped := make(Nodes, len(in))
	for i, n := range in {
		stopped[i] = StopGradient(n)
	}
	results := fwd(stopped)
	outs := OptimizationBarriers(cat(in, results)...)
	node := outs[0].Inputs()[0]
	node.Graph().AttachState(hookKey(node.Id()), func(v Nodes) Nodes {
		return append(bwd(v[len(in):]), make(Nodes, len(results))...)
	})
	return outs[len(in):]
}
