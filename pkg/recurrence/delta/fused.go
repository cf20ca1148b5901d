package delta

import (
	"embed"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// The kernels of kernels/inside.py and kernels/walk.py as Triton IR, one of each for each key size.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// The chunk length that the kernels are written for, and the keys or values that a program of some takes.
const fusedChunk, part = 64, 32

// ruled is what Rule made its operands of: the kernels take keys and β, not their products.
type ruled struct{ key, beta, write, read, decay *Node }

// fusable tells whether the kernels compute this call: the delta rule as Rule made it or any with a decay per key, in float32 with
// Half, no packed documents, one of the key sizes that there are kernels for, on an NVIDIA GPU.
func fusable(op Operands) bool {
	perKey := op.LogDecay != nil && op.LogDecay.Rank() == 4
	return op.Half && !op.NoKernels && (ofRule(op) || perKey) && op.Segments == nil && op.K.DType() == dtypes.Float32 &&
		xla.HasKernels(op.Q.Graph().Backend()) && kernels.Serves("inside", op.Q.Shape().Dim(-1))
}

// ofRule tells whether operands are still as Rule made them.
func ofRule(op Operands) bool {
	r := op.rule
	return r != nil && op.K == r.write && op.Erase == r.write && op.Read == r.read && op.LogDecay == r.decay
}

// fusedCall is a call by kernels; inside names those for its form.
type fusedCall struct {
	Dims
	chunks int
	inside string
}

// kernel is one of them for these sizes.
func (c fusedCall) kernel(name string) xla.Kernel {
	k := kernels.Kernel(name, c.Key)
	bind := map[string]int{"T": c.Tokens, "H": c.Heads, "CHUNKS": c.chunks}
	k.Grid, k.Warps, k.Stages = [3]int{c.Heads, c.chunks, c.Batch}, 4, 2
	switch name {
	case "walk", "adjoint", "general-walk", "general-adjoint":
		bind["V"], k.Grid[1] = c.Value, (c.Value+part-1)/part
	case "walk-backward", "general-walk-backward":
		bind["V"], k.Warps = c.Value, 8
	case "inside":
		if c.Key > 64 {
			k.Warps = 8
		}
	case "keyed-backward", "general-backward":
		k.Grid[0], k.Warps = c.Heads*(c.Key/min(c.Key, part)), 8
	case "inside-backward", "general":
		k.Warps = 8
	}
	return k.Bind(bind)
}

func (c fusedCall) call(name string, outs []shapes.Shape, in ...*Node) xla.Nodes {
	return xla.TritonCall(c.kernel(name), outs, in...)
}

// The shapes of what is kept for the gradient, b batch, n chunk, h head, k key, v value, i/j token in its chunk: inverses and scores
// [b,n,h,i,j], what reads the state entering a chunk and what writes the one leaving it [b,n,h,i,k], the states that enter [b,n,h,k,v],
// all bfloat16, and the log decay of a chunk [b,n,h,k].
func (c fusedCall) shapes() (square, perToken, states, perKey shapes.Shape) {
	of := func(dtype dtypes.DType, dims ...int) shapes.Shape {
		return shapes.Make(dtype, append([]int{c.Batch, c.chunks, c.Heads}, dims...)...)
	}
	return of(dtypes.BFloat16, fusedChunk, fusedChunk), of(dtypes.BFloat16, fusedChunk, c.Key), of(dtypes.BFloat16, c.Key, c.Value),
		of(dtypes.Float32, c.Key)
}

// fused is Chunk by kernels.
func fused(op Operands) Result {
	d, g := dimsOf(op), op.Q.Graph()
	c := fusedCall{d, (d.Tokens + fusedChunk - 1) / fusedChunk, "general"}
	initial := op.Initial
	if initial == nil {
		initial = Zeros(g, shapes.Make(dtypes.Float32, d.Batch, d.Heads, d.Key, d.Value))
	}
	run := c.general
	if ofRule(op) {
		run = c.ofRule
	}
	y, last, states := run(op, initial)
	entering := Reshape(TransposeAllAxes(states, 1, 0, 2, 3, 4), c.chunks*c.Batch*c.Heads, c.Key, c.Value)
	return Result{ConvertDType(y, op.V.DType()), last, &chunked{Dims: d, q: fusedChunk, chunks: c.chunks, op: op},
		ConvertDType(entering, op.V.DType())}
}

func half(x *Node) *Node { return ConvertDType(x, dtypes.BFloat16) }

// orZeros are the adjoints of y and of the last state, with zeros in place of nil.
func orZeros(adjoints xla.Nodes, y, last *Node) (dy, dlast *Node) {
	dy, dlast = adjoints[0], adjoints[1]
	if dy == nil {
		dy = ZerosLike(y)
	}
	if dlast == nil {
		dlast = ZerosLike(last)
	}
	return dy, dlast
}

// ofRule returns y, the last state and those that enter the chunks.
func (c fusedCall) ofRule(op Operands, initial *Node) (y, last, states *Node) {
	c.inside = "inside"
	decay := op.LogDecay
	switch {
	case decay == nil:
		decay = Zeros(op.Q.Graph(), shapes.Make(dtypes.Float32, c.Batch, c.Tokens, c.Heads))
	case decay.Rank() == 4:
		c.inside = "keyed"
	}
	square, perToken, state, perKey := c.shapes()
	values := half(op.V).Shape()
	var in, inside, walked xla.Nodes
	outs := xla.CustomVJP(func(stopped xla.Nodes) xla.Nodes {
		in = stopped
		q, k, v, beta, decay, initial := in[0], in[1], in[2], in[3], in[4], in[5]
		inside = c.call(c.inside, []shapes.Shape{square, square, perToken, perToken, perToken, perKey}, q, k, beta, decay)
		walked = c.call("walk", []shapes.Shape{values, state, values, initial.Shape()}, slices.Concat(inside, xla.Nodes{beta, v, initial})...)
		return xla.Nodes{walked[0], walked[3]}
	}, func(adjoints xla.Nodes) xla.Nodes {
		dy, dlast := orZeros(adjoints, walked[0], walked[3])
		total, beta := inside[5], in[3]
		back := c.call("adjoint", []shapes.Shape{state, values, initial.Shape()}, slices.Concat(inside, xla.Nodes{beta, dy, dlast})...)
		outer := c.call("walk-backward", []shapes.Shape{square, square, perToken, perToken, perToken, perKey, beta.Shape()},
			total, beta, walked[2], walked[1], back[0], back[1], dy)
		inner := c.call(c.inside+"-backward", []shapes.Shape{in[0].Shape(), in[1].Shape(), in[4].Shape()},
			slices.Concat(xla.Nodes{in[0], in[1], in[4]}, outer[:6])...)
		return xla.Nodes{inner[0], inner[1], back[1], outer[6], inner[2], back[2]}
	}, half(op.Q), half(op.rule.key), half(op.V), op.rule.beta, decay, initial)
	return outs[0], outs[1], walked[1]
}

// general is ofRule for operands with directions of their own to read and to erase.
func (c fusedCall) general(op Operands, initial *Node) (y, last, states *Node) {
	square, perToken, state, perKey := c.shapes()
	values, keys := half(op.V).Shape(), half(op.Q).Shape()
	pairs := []shapes.Shape{square, square, square, square, perToken, perToken, perToken, perToken, perKey}
	var in, inside, walked xla.Nodes
	outs := xla.CustomVJP(func(stopped xla.Nodes) xla.Nodes {
		in = stopped
		q, k, r, e, decay, v, initial := in[0], in[1], in[2], in[3], in[4], in[5], in[6]
		inside = c.call("general", pairs, q, k, r, e, decay)
		walked = c.call("general-walk", []shapes.Shape{values, state, values, initial.Shape()}, slices.Concat(inside, xla.Nodes{v, initial})...)
		return xla.Nodes{walked[0], walked[3]}
	}, func(adjoints xla.Nodes) xla.Nodes {
		dy, dlast := orZeros(adjoints, walked[0], walked[3])
		solved, rk, qe, qk := inside[0], inside[1], inside[2], inside[3]
		reads, enters, erases, leaves, total := inside[4], inside[5], inside[6], inside[7], inside[8]
		back := c.call("general-adjoint", []shapes.Shape{state, values, initial.Shape()}, solved, qe, reads, enters, erases, total, dy, dlast)
		outer := c.call("general-walk-backward", append(slices.Clone(pairs), values),
			rk, qk, leaves, total, in[5], walked[2], walked[1], back[0], back[1], dy)
		inner := c.call("general-backward", []shapes.Shape{keys, keys, keys, keys, in[4].Shape()}, slices.Concat(in[:5], outer[:9])...)
		return append(slices.Clone(inner), outer[9], back[2])
	}, half(op.Q), half(op.K), half(op.Read), half(op.Erase), op.LogDecay, half(op.V), initial)
	return outs[0], outs[1], walked[1]
}
