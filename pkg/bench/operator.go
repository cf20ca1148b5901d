package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// Operator times the SSD operator in bfloat16 with its gradients, and the forward pass alone, in milliseconds. Plain avoids the
// fused kernels; chunk is then the chunk length.
func Operator(d *xla.Device, dims recurrence.Dims, plain bool, chunk, runs int) []Row {
	form := "kernels"
	if plain || !xla.HasKernels(d.Backend) {
		form = fmt.Sprintf("graph, chunk %d", chunk)
	}
	shape := fmt.Sprintf("B%d T%d H%d P%d N%d (%s)", dims.Batch, dims.Tokens, dims.Heads, dims.HeadDim, dims.State, form)
	inner, bc := dims.Heads*dims.HeadDim, dims.Groups*dims.State
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(scale float64, shape ...int) *tensors.Tensor {
		n := 1
		for _, s := range shape {
			n *= s
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64() * scale)
		}
		return tensors.FromFlatDataAndDimensions(v, shape...)
	}
	prepare := graph.MustNewExec(d.Backend, func(x, dt *graph.Node) []*graph.Node {
		delta := graph.MulScalar(graph.Sigmoid(dt), 0.1)
		return []*graph.Node{graph.ConvertDType(x, dtypes.BFloat16), delta, graph.Neg(graph.Mul(delta, graph.Exp(delta)))}
	})
	in, err := prepare.Call(normal(1, dims.Batch, dims.Tokens, inner+2*bc), normal(1, dims.Batch, dims.Tokens, dims.Heads))
	if err != nil {
		return []Row{{Work: "operator", Shape: shape, Error: err.Error()}}
	}
	cotangent := normal(1, dims.Batch, dims.Tokens, dims.Heads, dims.HeadDim)
	part := func(x *graph.Node, from, to int, rest ...int) *graph.Node {
		x = graph.SliceAxis(x, -1, graph.AxisRange(from, to))
		return graph.Reshape(x, append([]int{dims.Batch, dims.Tokens}, rest...)...)
	}
	build := func(xbc, delta, la *graph.Node) recurrence.Result {
		op := recurrence.Operands{X: part(xbc, 0, inner, dims.Heads, dims.HeadDim), B: part(xbc, inner, inner+bc, dims.Groups, dims.State),
			C: part(xbc, inner+bc, inner+2*bc, dims.Groups, dims.State), Delta: delta, LogAlpha: la, Keep: func(n *graph.Node) *graph.Node { return n }}
		if !plain {
			op.XBC = xbc
		}
		return recurrence.Chunk(op, chunk)
	}
	forward := graph.MustNewExec(d.Backend, func(xbc, delta, la *graph.Node) []*graph.Node {
		y := build(xbc, delta, la)
		return []*graph.Node{graph.ConvertDType(y.Y, dtypes.BFloat16), y.State}
	})
	both := graph.MustNewExec(d.Backend, func(xbc, delta, la, dy *graph.Node) []*graph.Node {
		y := build(xbc, delta, la)
		total := graph.ReduceAllSum(graph.Mul(y.Y, dy))
		return append(graph.Gradient(total, xbc, delta, la), graph.ConvertDType(y.Y, dtypes.BFloat16))
	})
	run := func(e *graph.Exec, args ...any) func() error {
		return func() error {
			outs, err := e.Call(args...)
			for _, o := range outs {
				o.MustFinalizeAll()
			}
			return err
		}
	}
	one := func(what string, f func() error) Row {
		row := Row{Work: "operator", Shape: shape + " " + what}
		return guard(row, func() Row { return rates(row, runs, 0, f) })
	}
	return []Row{one("forward", run(forward, in[0], in[1], in[2])), one("forward+backward", run(both, in[0], in[1], in[2], cotangent))}
}
