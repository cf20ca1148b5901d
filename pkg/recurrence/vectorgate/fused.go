package vectorgate

import (
	"embed"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// The kernels of kernels/inside.py as Triton IR, one pair for each key size.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// The chunk length that the kernels are written for, and the number of keys that a program of the gradient takes.
const fusedChunk, keysOfGradient = 64, 32

// fusable tells whether the kernels compute this call: bfloat16 operands with float32 gates, no packed documents, one of the key
// sizes that there are kernels for, on an NVIDIA GPU.
func fusable(op Operands) bool {
	for _, x := range []*Node{op.Q, op.K, op.V} {
		if x.DType() != dtypes.BFloat16 {
			return false
		}
	}
	return !op.NoKernels && op.LogDecay.DType() == dtypes.Float32 && op.Segments == nil && xla.HasKernels(op.Q.Graph().Backend()) &&
		kernels.Serves("inside", op.Q.Shape().Dim(-1))
}

// kernel is one of them for these sizes; a bonus is of so many models.
func kernel(name string, d Dims, models int, bonus bool) xla.Kernel {
	k := kernels.Kernel(name, d.Keys)
	chunks := (d.Tokens + fusedChunk - 1) / fusedChunk
	k.Grid, k.Warps, k.Stages = [3]int{d.Heads, chunks, d.Batch}, 4, 2
	if name == "inside-backward" {
		k.Grid[0], k.Warps = d.Heads*(d.Keys/min(d.Keys, keysOfGradient)), 8
	}
	bind := map[string]int{"T": d.Tokens, "H": d.Heads, "BEFORE": 0, "ROWS": d.Batch / models, "CHUNKS": chunks}
	if bonus {
		bind["BEFORE"] = 1
	}
	return k.Bind(bind)
}

// insideFused is what a chunk does by itself: scores [b,n,h,i,j] with what a token reads of its own write on the diagonal, queries
// that read the state entering it and keys that write the one leaving it [b,n,h,i,k], all bfloat16, and the log decay of all of
// it [b,n,h,k].
func insideFused(op Operands, d Dims) (scores, enters, leaves, total *Node) {
	chunks := (d.Tokens + fusedChunk - 1) / fusedChunk
	own := Ones(op.Q.Graph(), shapes.Make(dtypes.Float32, 1, d.Heads, d.Keys))
	if op.Bonus != nil {
		own = chunking.PerRow(ConvertDType(op.Bonus, dtypes.Float32), 2)
	}
	in := xla.Nodes{op.Q, op.K, op.LogDecay, own}
	models := own.Shape().Dim(0)
	of := func(dtype dtypes.DType, dims ...int) shapes.Shape {
		return shapes.Make(dtype, append([]int{d.Batch, chunks, d.Heads}, dims...)...)
	}
	perToken, perKey := of(dtypes.BFloat16, fusedChunk, d.Keys), of(dtypes.Float32, d.Keys)
	shapesOut := []shapes.Shape{of(dtypes.BFloat16, fusedChunk, fusedChunk), perToken, perToken, perKey}
	outs := xla.CustomVJP(func(in xla.Nodes) xla.Nodes {
		return xla.TritonCall(kernel("inside", d, models, op.Bonus != nil), shapesOut, in...)
	}, func(v xla.Nodes) xla.Nodes {
		all := append(xla.Nodes{}, in...)
		for i, x := range all {
			all[i] = StopGradient(x)
		}
		for i, adjoint := range v {
			if adjoint == nil {
				adjoint = Zeros(op.Q.Graph(), shapesOut[i])
			}
			all = append(all, ConvertDType(adjoint, shapesOut[i].DType))
		}
		grads := xla.TritonCall(kernel("inside-backward", d, models, op.Bonus != nil),
			[]shapes.Shape{op.Q.Shape(), op.K.Shape(), op.LogDecay.Shape(), perKey}, all...)
		grads[3] = ReduceSum(Reshape(grads[3], models, d.Batch/models*chunks, d.Heads, d.Keys), 1)
		return grads
	}, in...)
	return outs[0], outs[1], outs[2], outs[3]
}

// fused is Chunk by kernels.
func fused(op Operands) (y, state *Node) {
	d := dimsOf(op)
	scores, enters, leaves, total := insideFused(op, d)
	chunks, rows := total.Shape().Dim(1), d.Heads*d.Keys
	value := Reshape(chunking.PadTokens(op.V, chunks*fusedChunk), d.Batch, chunks, fusedChunk, d.Heads, d.Values)
	value = TransposeAllAxes(value, 0, 1, 3, 2, 4) // [b,n,h,j,v]
	own := chunking.Product("bnhjk,bnhjv->bnhkv", leaves, value, dtypes.Float32)
	entering, last := chunking.Prefix(Reshape(total, d.Batch, chunks, rows), Reshape(own, d.Batch, chunks, rows, 1, d.Values),
		Reshape(op.initial(d), d.Batch, rows, 1, d.Values))
	entering = ConvertDType(Reshape(entering, d.Batch, chunks, d.Heads, d.Keys, d.Values), dtypes.BFloat16)
	y = chunking.Product("bnhik,bnhkv->bnhiv", enters, entering, dtypes.Float32)
	y = Add(y, chunking.Product("bnhij,bnhjv->bnhiv", scores, value, dtypes.Float32))
	y = Reshape(TransposeAllAxes(y, 0, 1, 3, 2, 4), d.Batch, chunks*fusedChunk, d.Heads, d.Values)
	return SliceAxis(y, 1, AxisRange(0, d.Tokens)), Reshape(last, d.Batch, d.Heads, d.Keys, d.Values)
}
