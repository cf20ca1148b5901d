package attention

import (
	"embed"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// The kernels of kernels/flash.py as Triton IR, three for each size of heads.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// ownTokens is how many tokens a program of the kernels holds.
const ownTokens = 128

// Fuses tells whether kernels compute the call once Q, K and V are bfloat16: on an NVIDIA GPU, of all tokens from the first on (no
// cache, no packed documents, no window), with keys and values of one of the sizes that there are kernels for.
func (op Operands) Fuses() bool {
	d := dimsOf(op)
	return !op.NoKernels && op.Cache == nil && op.Segments == nil && op.Window == 0 && d.Key == d.Value &&
		xla.HasKernels(op.Q.Graph().Backend()) && kernels.Serves("forward", d.Key)
}

// kernel is one of them for these sizes.
func kernel(name string, d Dims) xla.Kernel {
	k := kernels.Kernel(name, d.Key)
	k.Grid, k.Warps, k.Stages = [3]int{(d.Tokens + ownTokens - 1) / ownTokens, d.Heads, d.Batch}, 8, 3
	if d.Key > 64 {
		k.Stages = 2
	}
	return k.Bind(map[string]int{"T": d.Tokens, "H": d.Heads, "PER": d.Heads / d.KVHeads})
}

// fused is y [batch, tokens, heads, value] of bfloat16 operands, by a kernel that leaves no scores in memory; two more compute them
// again for the gradient. Kept for these are y and a float32 per query, the logarithm of its sum [batch, heads, tokens].
func fused(op Operands, d Dims) *Node {
	perQuery := shapes.Make(dtypes.Float32, d.Batch, d.Heads, d.Tokens)
	keep := func(x *Node) *Node {
		if op.Keep == nil {
			return x
		}
		return op.Keep(x)
	}
	var in, kept xla.Nodes
	outs := xla.CustomVJP(func(stopped xla.Nodes) xla.Nodes {
		in = stopped
		kept = xla.TritonCall(kernel("forward", d), []shapes.Shape{op.Q.Shape(), perQuery}, in...)
		kept[0] = keep(kept[0])
		kept[1] = keep(kept[1])
		return kept[:1]
	}, func(adjoints xla.Nodes) xla.Nodes {
		q, k, v, y, sums, dy := in[0], in[1], in[2], kept[0], kept[1], adjoints[0]
		queries := xla.TritonCall(kernel("queries", d), []shapes.Shape{op.Q.Shape(), perQuery}, q, k, v, y, sums, dy)
		keys := xla.TritonCall(kernel("keys", d), []shapes.Shape{op.Q.Shape(), op.Q.Shape()}, q, k, v, sums, dy, queries[1])
		return xla.Nodes{queries[0], ofGroups(keys[0], d), ofGroups(keys[1], d)}
	}, op.Q, op.K, op.V)
	return outs[0]
}

// ofGroups sums gradients of the query heads that share keys: [batch, tokens, heads, n] → [batch, tokens, kvHeads, n].
func ofGroups(x *Node, d Dims) *Node {
	if d.Heads == d.KVHeads {
		return x
	}
	each := Reshape(x, d.Batch, d.Tokens, d.KVHeads, d.Heads/d.KVHeads, x.Shape().Dim(-1))
	return ConvertDType(ReduceSum(ConvertDType(each, dtypes.Float32), 3), x.DType())
}

// inFloat32 is [Chunk] of bfloat16 operands where there is no kernel; Y is bfloat16.
func inFloat32(op Operands, q int) Result {
	for _, x := range []**Node{&op.Q, &op.K, &op.V} {
		*x = ConvertDType(*x, dtypes.Float32)
	}
	r := Chunk(op, q)
	r.Y = ConvertDType(r.Y, dtypes.BFloat16)
	return r
}
