package recurrence

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// StatisticColumns are the columns of [Result.Statistics]: means over the tokens of a bucket up to write_norm, ‖Δ x Bᵀ‖;
// then, after its last token, the largest magnitude in h_t and the share of ‖h_t‖² in the top ⌈N/16⌉ of the N columns.
var StatisticColumns = []string{"mean", "variance", "rms", "norm", "delta", "log_alpha", "x_norm", "b_norm", "c_norm",
	"write_norm", "absmax", "top_share"}

// Statistics follows the states token by token in float32, in registers (kernels/moments.py), on an NVIDIA GPU where there
// are kernels for the sizes: float32 [batch, ⌈tokens/every⌉, heads, columns] over buckets of every tokens, of which those
// before length (int32 scalar, nil for all) count. It is nil elsewhere, and where buckets and pieces of the work do not fit.
func (r Result) Statistics(every int, length *Node) *Node {
	op, d, ok := r.walkable()
	batch, tokens := r.op.Delta.Shape().Dim(0), r.op.Delta.Shape().Dim(1)
	run := min(every, d.Tokens)
	if !ok || d.Tokens%run != 0 || every%run != 0 && tokens > every || tokens > every && tokens%every != 0 {
		return nil
	}
	real := Scalar(op.XBC.Graph(), dtypes.Int32, tokens)
	if length != nil {
		real = length
	}
	write := op.Delta
	if op.Write != nil {
		write = op.Write
	}
	blocks, runs, columns := d.HeadDim/momentRows(d), d.Tokens/run, len(StatisticColumns)
	make32 := func(dims ...int) shapes.Shape { return shapes.Make(dtypes.Float32, dims...) }
	perToken := make32(d.Batch, d.Tokens, d.Heads, blocks)
	walked := xla.TritonCall(momentKernel("walk", op.XBC.DType(), d, run, 0), []shapes.Shape{perToken, perToken,
		make32(d.Batch, runs, d.Heads, blocks), make32(d.Batch, runs, d.Heads, blocks, d.State)}, op.XBC, write, op.LogAlpha, op.Initial)
	in := append([]*Node{op.XBC, op.Delta, op.LogAlpha}, walked...)
	all := xla.TritonCall(momentKernel("reduce", op.XBC.DType(), d, run, d.Batch/batch), []shapes.Shape{make32(d.Batch, runs, d.Heads, columns)},
		append(in, Reshape(real, 1))...)[0]
	all = Reshape(all, batch, tokens/run, d.Heads, columns)
	if tokens <= run {
		return all
	}
	return joinRuns(all, run, min(every, tokens)/run, real)
}

// walkable is the call cut into pieces whose entering states are known, each a sequence of its own: those of the fused
// kernels, or the chunks of the graph.
func (r Result) walkable() (op Operands, d Dims, ok bool) {
	if r.cut != nil {
		return *r.cut, r.dims, true
	}
	op = r.op
	d = dimsOf(op)
	if r.c == nil || op.Segments != nil || d.Tokens%r.q != 0 || op.Delta.DType() != dtypes.Float32 || !xla.HasKernels(op.X.Graph().Backend()) {
		return op, d, false
	}
	if dtype := op.X.DType(); dtype != dtypes.Float32 && dtype != dtypes.BFloat16 {
		return op, d, false
	}
	if !kernels.Serves("moments-walk-"+momentType(op.X.DType()), d.HeadDim, d.State) {
		return op, d, false
	}
	xbc := op.XBC
	if xbc == nil {
		flat := func(x *Node) *Node { return Reshape(x, d.Batch, d.Tokens, x.Shape().Dim(2)*x.Shape().Dim(3)) }
		xbc = Concatenate([]*Node{flat(op.X), flat(op.B), flat(op.C)}, -1)
	}
	d.Batch, d.Tokens = d.Batch*r.c.chunks, r.q
	cut := func(x *Node) *Node { return Reshape(x, d.Batch, d.Tokens, x.Shape().Dim(-1)) }
	op.XBC, op.Delta, op.LogAlpha = cut(xbc), cut(op.Delta), cut(op.LogAlpha)
	if op.Write != nil {
		op.Write = cut(op.Write)
	}
	op.Initial = Reshape(r.c.entering, d.Batch, d.Heads, d.HeadDim, d.State)
	return op, d, true
}

// joinRuns makes buckets of so many runs each: [batch, runs, heads, columns] → [batch, runs/per, heads, columns].
func joinRuns(all *Node, run, per int, length *Node) *Node {
	if per == 1 {
		return all
	}
	g, s := all.Graph(), all.Shape().Dimensions
	batch, n, heads, columns := s[0], s[1]/per, s[2], s[3]
	start := MulScalar(Iota(g, shapes.Make(dtypes.Int32, n, per), 1), run)
	start = Add(start, MulScalar(Iota(g, start.Shape(), 0), run*per))
	weight := ConvertDType(ClipScalar(Sub(BroadcastToShape(length, start.Shape()), start), 0, float64(run)), all.DType()) // [n, per]
	share := Div(weight, MaxScalar(ReduceAndKeep(weight, ReduceSum, -1), 1))
	all = Reshape(all, batch, n, per, heads, columns)
	means := SliceAxis(all, -1, AxisRange(0, columns-2))
	means = ReduceSum(Mul(means, Reshape(share, 1, n, per, 1, 1)), 2)
	ends := Squeeze(SliceAxis(SliceAxis(all, -1, AxisRangeToEnd(columns-2)), 2, AxisElem(per-1)), 2)
	return Concatenate([]*Node{means, ends}, -1)
}

// momentRows is how many rows of a head one program of the walk has: 64 entries for every thread of a warp.
func momentRows(d Dims) int { return min(16, 2048/d.State) }

// momentType names the type of x, B and C in the files of the kernels.
func momentType(dtype dtypes.DType) string {
	if dtype == dtypes.BFloat16 {
		return "bf16"
	}
	return "fp32"
}

// momentKernel is one of the two for runs of run tokens; the tokens are one of cuts parts of a sequence.
func momentKernel(name string, dtype dtypes.DType, d Dims, run, cuts int) xla.Kernel {
	inner := d.Heads * d.HeadDim
	bind := map[string]int{"T": d.Tokens, "H": d.Heads, "W": inner + 2*d.Groups*d.State, "OB": inner, "PER": d.Heads / d.Groups, "RUN": run}
	k := kernels.Kernel("moments-"+name+"-"+momentType(dtype), d.HeadDim, d.State)
	k.Stages = 1
	if name == "walk" {
		k.Grid, k.Warps = [3]int{d.Heads * d.HeadDim / momentRows(d), d.Batch, 1}, 1
	} else {
		k.Grid, k.Warps = [3]int{d.Heads, d.Tokens / run, d.Batch}, 4
		bind["OC"], bind["CUTS"] = inner+d.Groups*d.State, cuts
	}
	return k.Bind(bind)
}
