package vectorgate

import (
	"embed"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// The kernels of kernels/inside.py and kernels/walk.py as Triton IR, one of each for each key size.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// The chunk length that the kernels are written for, and the keys or values that a program of some takes.
const fusedChunk, part = 64, 32

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

// fusedCall is a call by kernels: its sizes, how many models have a bonus of their own, and whether there is one.
type fusedCall struct {
	Dims
	chunks, models int
	bonus          bool
}

// kernel is one of them for these sizes.
func (c fusedCall) kernel(name string) xla.Kernel {
	k := kernels.Kernel(name, c.Keys)
	bind := map[string]int{"T": c.Tokens, "H": c.Heads, "CHUNKS": c.chunks}
	k.Grid, k.Warps, k.Stages = [3]int{c.Heads, c.chunks, c.Batch}, 4, 2
	switch name {
	case "inside", "inside-backward":
		bind["ROWS"], bind["BEFORE"] = c.Batch/c.models, 0
		if c.bonus {
			bind["BEFORE"] = 1
		}
		if name == "inside-backward" {
			k.Grid[0] = c.Heads * (c.Keys / min(c.Keys, part))
		}
	case "walk", "adjoint":
		bind["V"], k.Grid[1] = c.Values, (c.Values+part-1)/part
	default:
		bind["V"] = c.Values
		if c.Keys > 64 {
			k.Warps = 8
		}
	}
	return k.Bind(bind)
}

func (c fusedCall) call(name string, outs []shapes.Shape, in ...*Node) xla.Nodes {
	return xla.TritonCall(c.kernel(name), outs, in...)
}

// fused is Chunk by kernels. Kept for the gradient, b batch, n chunk, h head, k key, v value, i/j token in its chunk: scores
// [b,n,h,i,j] with what a token reads of its own write on the diagonal, queries that read the state entering a chunk and
// keys that write the one leaving it [b,n,h,i,k], the states that enter [b,n,h,k,v], all bfloat16, and the log decay of a chunk [b,n,h,k].
func fused(op Operands) (y, state *Node) {
	g, own := op.Q.Graph(), op.Bonus
	c := fusedCall{Dims: dimsOf(op), bonus: own != nil}
	c.chunks = (c.Tokens + fusedChunk - 1) / fusedChunk
	if own == nil {
		own = Ones(g, shapes.Make(dtypes.Float32, c.Heads, c.Keys))
	}
	own = chunking.PerRow(ConvertDType(own, dtypes.Float32), 2)
	c.models = own.Shape().Dim(0)
	of := func(dtype dtypes.DType, dims ...int) shapes.Shape {
		return shapes.Make(dtype, append([]int{c.Batch, c.chunks, c.Heads}, dims...)...)
	}
	square, perToken := of(dtypes.BFloat16, fusedChunk, fusedChunk), of(dtypes.BFloat16, fusedChunk, c.Keys)
	states, perKey := of(dtypes.BFloat16, c.Keys, c.Values), of(dtypes.Float32, c.Keys)
	initial := op.initial(c.Dims)
	var in, inside, walked xla.Nodes
	outs := xla.CustomVJP(func(stopped xla.Nodes) xla.Nodes {
		in = stopped
		q, k, v, decay, own, initial := in[0], in[1], in[2], in[3], in[4], in[5]
		inside = c.call("inside", []shapes.Shape{square, perToken, perToken, perKey}, q, k, decay, own)
		walked = c.call("walk", []shapes.Shape{op.V.Shape(), states, initial.Shape()}, slices.Concat(inside, xla.Nodes{v, initial})...)
		return xla.Nodes{walked[0], walked[2]}
	}, func(adjoints xla.Nodes) xla.Nodes {
		dy, dlast := adjoints[0], adjoints[1]
		if dy == nil {
			dy = ZerosLike(walked[0])
		}
		if dlast == nil {
			dlast = ZerosLike(walked[2])
		}
		scores, enters, leaves, total := inside[0], inside[1], inside[2], inside[3]
		dstates := c.call("adjoint", []shapes.Shape{states, initial.Shape()}, enters, total, dy, dlast)
		outer := c.call("walk-backward", []shapes.Shape{square, perToken, perToken, perKey, op.V.Shape()},
			scores, leaves, total, in[2], walked[1], dstates[0], dy)
		inner := c.call("inside-backward", []shapes.Shape{op.Q.Shape(), op.K.Shape(), op.LogDecay.Shape(), perKey},
			in[0], in[1], in[3], in[4], outer[0], outer[1], outer[2], outer[3])
		dOwn := ReduceSum(Reshape(inner[3], c.models, c.Batch/c.models*c.chunks, c.Heads, c.Keys), 1)
		return xla.Nodes{inner[0], inner[1], outer[4], inner[2], dOwn, dstates[1]}
	}, op.Q, op.K, op.V, op.LogDecay, own, initial)
	return ConvertDType(outs[0], op.LogDecay.DType()), outs[1]
}
