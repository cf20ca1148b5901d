package recurrence

import (
	"embed"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/chunking"
	"stuffed/xla"
)

// The kernels of kernels/ssd.py as Triton IR, one pair for each head size and state size.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// fusedChunk is the chunk length that the kernels are written for.
const fusedChunk = 64

// fusable tells whether the fused kernels compute this call: bfloat16 operands that lie side by side, no packed
// documents, one of the sizes that there are kernels for, on an NVIDIA GPU.
func fusable(op Operands, d Dims) bool {
	if op.XBC == nil || op.XBC.DType() != dtypes.BFloat16 || op.Delta.DType() != dtypes.Float32 || op.Segments != nil ||
		op.Write != nil || !xla.HasKernels(op.XBC.Graph().Backend()) {
		return false
	}
	return kernels.Serves("forward", d.HeadDim, d.State)
}

// Fuses tells whether there are kernels for heads of this size.
func Fuses(headDim, state int) bool { return kernels.Has("forward", headDim, state) }

// kernel is one of them for these sizes; a model has so many rows of the batch. Flags are its other arguments.
func kernel(name string, d Dims, rows, chunks int, flags map[string]bool) xla.Kernel {
	k := kernels.Kernel(name, d.HeadDim, d.State)
	k.Grid, k.Warps, k.Stages = [3]int{d.Heads, d.Batch, 1}, 4, 2
	if d.State > 128 {
		k.Warps = 8
	}
	inner := d.Heads * d.HeadDim
	bind := map[string]int{"T": d.Tokens, "H": d.Heads, "W": inner + 2*d.Groups*d.State, "PER": d.Heads / d.Groups, "CHUNKS": chunks}
	if name != "adjoint" {
		bind["OB"] = inner
	}
	if name != "states" {
		bind["OC"] = inner + d.Groups*d.State
	}
	if name == "forward" || name == "backward" {
		bind["ROWS"] = rows
	}
	if name == "backward" {
		k.Grid, k.Stages = [3]int{d.Heads, chunks, d.Batch}, 1
	}
	for flag, on := range flags {
		bind[flag] = 0
		if on {
			bind[flag] = 1
		}
	}
	return k.Bind(bind)
}

// programs is how many (head, sequence) pairs keep a large GPU busy; fewer are multiplied by cutting sequences.
const programs = 1024

// split is the number of segments that a sequence is cut into: a power of two that leaves whole chunks.
func split(d Dims) int {
	s := 1
	for d.Batch*d.Heads*s < programs && d.Tokens%(2*s*fusedChunk) == 0 && d.Tokens/(2*s) >= 4*fusedChunk {
		s *= 2
	}
	return s
}

// segmented is fused without a gradient for few long sequences: every segment's own state, a prefix over the segments,
// and all segments side by side.
func segmented(op Operands, d Dims, segments int) fusedResult {
	e := d
	e.Batch, e.Tokens = d.Batch*segments, d.Tokens/segments
	chunks := e.Tokens / fusedChunk
	cut := func(x *Node) *Node { return Reshape(x, e.Batch, e.Tokens, x.Shape().Dim(-1)) }
	op.XBC, op.Delta, op.LogAlpha = cut(op.XBC), cut(op.Delta), cut(op.LogAlpha)
	state := shapes.Make(dtypes.Float32, e.Batch, e.Heads, e.HeadDim, e.State)
	own := xla.TritonCall(kernel("states", e, 1, chunks, nil), []shapes.Shape{state, shapes.Make(dtypes.Float32, e.Batch, e.Heads)},
		op.XBC, op.Delta, op.LogAlpha)
	initial := op.Initial
	if initial == nil {
		initial = Zeros(op.XBC.Graph(), shapes.Make(dtypes.Float32, d.Batch, d.Heads, d.HeadDim, d.State))
	}
	entering, last := chunking.Prefix(Reshape(own[1], d.Batch, segments, d.Heads),
		Reshape(own[0], d.Batch, segments, d.Heads, d.HeadDim, d.State), initial)
	op.Initial = Reshape(entering, state.Dimensions...)
	inner := fused(op, e)
	return fusedResult{Reshape(inner.y, d.Batch, d.Tokens, d.Heads, d.HeadDim), last, op, e}
}

// fusedResult is what fused computes, and the call whose kernels did it: of sequences or of their segments.
type fusedResult struct {
	y, last *Node
	op      Operands
	dims    Dims
}

// fused computes the operator by a kernel that keeps the state on the chip, and its gradient by two more.
// y is bfloat16. The states that enter the chunks (bfloat16) are kept for the backward.
func fused(op Operands, d Dims) fusedResult {
	g := op.XBC.Graph()
	if segments := split(d); op.Keep == nil && segments > 1 {
		return segmented(op, d, segments)
	}
	chunks := (d.Tokens + fusedChunk - 1) / fusedChunk
	nothing := shapes.Make(dtypes.BFloat16, 1) // stands for what does not exist
	unless := func(absent bool, dtype dtypes.DType, dims ...int) shapes.Shape {
		if absent {
			return shapes.Make(dtype, 1)
		}
		return shapes.Make(dtype, dims...)
	}
	initial, skip := op.Initial, op.D
	finalState := unless(op.ZeroState, dtypes.Float32, d.Batch, d.Heads, d.HeadDim, d.State)
	if initial == nil {
		initial = Zeros(g, finalState)
	}
	if skip == nil {
		skip = Zeros(g, shapes.Make(dtypes.Float32, 1, d.Heads))
	}
	models := skip.Shape().Dim(0)
	rows, train, enters := d.Batch/models, op.Keep != nil, !op.ZeroState || chunks > 1
	output := shapes.Make(dtypes.BFloat16, d.Batch, d.Tokens, d.Heads, d.HeadDim)
	gate := shapes.Make(dtypes.Float32, d.Batch, d.Tokens, d.Heads)
	perHead := shapes.Make(dtypes.BFloat16, d.Batch, d.Tokens, 2, d.Heads, d.State) // of B and of C
	perChunk := shapes.Make(dtypes.Float32, d.Batch, chunks, d.Heads)
	kept := unless(!train || !enters, dtypes.BFloat16, d.Batch, chunks, d.Heads, d.HeadDim, d.State)
	ends := map[string]bool{"ENDS": !op.ZeroState}
	var entering *Node
	outs := xla.CustomVJP(func(in []*Node) []*Node {
		flags := map[string]bool{"ENDS": !op.ZeroState, "KEEP": train && enters}
		outs := xla.TritonCall(kernel("forward", d, rows, chunks, flags), []shapes.Shape{output, finalState, kept}, in...)
		if train {
			outs[0] = op.Keep(outs[0])
			if !op.ZeroState {
				outs[1] = op.Keep(outs[1])
			}
			if enters {
				outs[2] = op.Keep(outs[2])
			}
		}
		entering = outs[2]
		return outs[:2]
	}, func(v []*Node) []*Node {
		dy, dlast := v[0], v[1]
		if dy == nil {
			dy = Zeros(g, output)
		}
		if dlast == nil {
			dlast = Zeros(g, finalState)
		}
		xbc, delta, la := StopGradient(op.XBC), StopGradient(op.Delta), StopGradient(op.LogAlpha)
		states := []*Node{Zeros(g, nothing), ZerosLike(initial), Zeros(g, shapes.Make(dtypes.Float32, 1))}
		if enters { // gradients of the states that leave the chunks, and of the first
			states = xla.TritonCall(kernel("adjoint", d, rows, chunks, ends), []shapes.Shape{entering.Shape(), finalState, perChunk},
				xbc, la, entering, dy, dlast)
		}
		outs := xla.TritonCall(kernel("backward", d, rows, chunks, map[string]bool{"STATES": enters}),
			[]shapes.Shape{output, perHead, gate, gate, perChunk}, xbc, delta, la, StopGradient(skip), entering, states[0], states[2], dy)
		dx := Reshape(outs[0], d.Batch, d.Tokens, d.Heads*d.HeadDim)
		ofGroups := Reshape(outs[1], d.Batch, d.Tokens, 2, d.Groups, d.Heads/d.Groups, d.State)
		sums := ConvertDType(ReduceSum(ConvertDType(ofGroups, dtypes.Float32), 4), dtypes.BFloat16)
		dBC := Reshape(sums, d.Batch, d.Tokens, 2*d.Groups*d.State)
		dSkip := ReduceSum(Reshape(outs[4], models, rows*chunks, d.Heads), 1)
		return []*Node{Concatenate([]*Node{dx, dBC}, -1), outs[2], outs[3], dSkip, states[1]}
	}, op.XBC, op.Delta, op.LogAlpha, skip, initial)
	if !op.ZeroState {
		op.Initial = initial
	}
	return fusedResult{outs[0], outs[1], op, d}
}
