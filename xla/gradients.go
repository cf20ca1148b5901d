package xla

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla/internal/gomlx"
)

// Gradients that GoMLX lacks: Rsqrt, Expm1, bf16 dots whose backward stays bf16, and functions with a hand-written one.

// hookKey is where a graph keeps the hand-written backward pass of a barrier node.
type hookKey NodeId

func init() {
	gomlx.OnGradient(NodeTypeOptimizationBarrier, func(n *Node, v Nodes, s shapes.Shape, barrier VJP) Nodes {
		if backward, ok := n.Graph().State(hookKey(n.Id())).(func(Nodes) Nodes); ok {
			return backward(v)
		}
		return barrier(n, v, s)
	})
	gomlx.OnGradient(NodeTypeRsqrt, func(n *Node, v Nodes, _ shapes.Shape, _ VJP) Nodes {
		return Nodes{Mul(v[0], MulScalar(Mul(n, Square(n)), -0.5))}
	})
	gomlx.OnGradient(NodeTypeExpm1, func(n *Node, v Nodes, _ shapes.Shape, _ VJP) Nodes {
		return Nodes{Mul(v[0], OnePlus(n))}
	})
	gomlx.OnGradient(NodeTypeDotGeneral, func(n *Node, v Nodes, s shapes.Shape, dot VJP) Nodes {
		in := n.Inputs()
		if in[0].DType() == dtypes.BFloat16 && in[1].DType() == dtypes.BFloat16 {
			config := gomlx.ProductOf(n).Config()
			defer func(a dtypes.DType) { config.AccumulatorDType = a }(config.AccumulatorDType)
			config.AccumulatorDType = dtypes.BFloat16
		}
		grads := dot(n, v, s)
		if !HasKernels(n.Graph().Backend()) && in[0].DType() == v[0].DType() && in[1].DType() == v[0].DType() {
			for i, x := range []*Node{productGradient(n, v[0], 0), productGradient(n, v[0], 1)} {
				if x != nil {
					grads[i] = x
				}
			}
		}
		return grads
	})
}

// productGradient is the gradient of a product with respect to its side 0 or 1, where that side's contracted axis comes before
// its free one: GoMLX computes the transpose and transposes it back, which copies on a CPU. For other sides it returns nil.
func productGradient(n, v *Node, side int) *Node {
	axes := gomlx.ProductOf(n).Axes
	batch, this, other := axes("BatchAxes", side), n.Inputs()[side], n.Inputs()[1-side]
	b := len(batch)
	sum, otherSum := axes("ContractingAxes", side), axes("ContractingAxes", 1-side)
	if this.Rank() != b+2 || other.Rank() != b+2 || len(sum) != 1 || sum[0] != b {
		return nil
	}
	for i, a := range batch {
		if a != i || axes("BatchAxes", 1-side)[i] != i {
			return nil
		}
	}
	free := 2*b + 1 - otherSum[0] // the other axis of the other side
	return DotGeneral(other, []int{free}, batch, v, []int{b + 1 - side}, batch)
}

// CustomVJP computes fwd(in) with bwd as its gradient: bwd maps the outputs' adjoints (nil if there is none) to one node per
// input (nil if there is none). bwd may use operations that have no gradient themselves. The barrier that carries it stops fusion
// across it.
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
