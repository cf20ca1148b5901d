package bench

import (
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// place is one token in one head of one sequence.
type place struct{ batch, token, head int }

// places returns eight places, among them the last token in the last head of the last sequence.
func places(d recurrence.Dims) (all []place) {
	for i := range 8 {
		at := func(n, step int) int { return max(0, n-1-(7-i)*step) % n }
		all = append(all, place{at(d.Batch, d.Batch/8+1), at(d.Tokens, d.Tokens/8-1), at(d.Heads, 3)})
	}
	return all
}

// Inputs are a function of their place, which the device evaluates everywhere and the host only where it checks: x, B and C are
// multiples of 2⁻⁷ between −2 and 2, Δ of 2⁻¹¹ up to 2⁻³, exact in bfloat16 and float32, and A of head h is −2⁻ʰ, h modulo 16.
const (
	batchFactor, tokenFactor, columnFactor = 0x9e3779b1, 0x85ebca77, 0xc2b2ae3d
	gateSalt                               = 0x27d4eb2f
)

func mix(x uint32) uint32 { // the finaliser of MurmurHash3
	x = (x ^ x>>16) * 0x85ebca6b
	x = (x ^ x>>13) * 0xc2b2ae35
	return x ^ x>>16
}

func counter(b, t, column int) uint32 {
	return uint32(b)*batchFactor + uint32(t)*tokenFactor + uint32(column)*columnFactor
}

func content(b, t, column int) float64 {
	return (float64(mix(counter(b, t, column))>>24) - 127.5) / 64
}
func gate(b, t, head int) float64 {
	return (float64(mix(counter(b, t, head)^gateSalt)>>24) + 1) / 2048
}
func decayOf(head int) float64 { return -math.Ldexp(1, -(head % 16)) }

// bytesAt returns the top byte of the hash of every place in the shape [batch, tokens, columns], as float32.
func bytesAt(g *graph.Graph, salt uint32, dims ...int) *graph.Node {
	word := func(v uint32) *graph.Node { return graph.Scalar(g, dtypes.Uint32, v) }
	s := shapes.Make(dtypes.Uint32, dims...)
	x := graph.Mul(graph.Iota(g, s, 0), word(batchFactor))
	x = graph.Add(x, graph.Mul(graph.Iota(g, s, 1), word(tokenFactor)))
	x = graph.Add(x, graph.Mul(graph.Iota(g, s, 2), word(columnFactor)))
	shift := func(x *graph.Node, by int) *graph.Node {
		return graph.BitwiseXor(x, graph.BitwiseShiftRightLogicalScalar(x, by))
	}
	x = graph.BitwiseXor(x, word(salt))
	x = shift(graph.Mul(shift(graph.Mul(shift(x, 16), word(0x85ebca6b)), 13), word(0xc2b2ae35)), 16)
	return graph.ConvertDType(graph.BitwiseShiftRightLogicalScalar(x, 24), dtypes.Float32)
}

// Sampled runs the bare operator over whole arrays and compares y with the float64 loop at eight places: ‖got − want‖ / ‖want‖.
// dtype is that of x, B and C. Plain avoids the fused kernels.
func Sampled(d *xla.Device, dims recurrence.Dims, dtype dtypes.DType, plain bool, chunk int, least float64) Row {
	form := "kernels"
	if plain || dtype != dtypes.BFloat16 || !xla.HasKernels(d.Backend) {
		plain, form = true, fmt.Sprintf("graph, chunk %d", chunk)
	}
	row := Row{Work: "sampled", Unit: "of the RMS", Note: fmt.Sprintf("below %g is asked for", least),
		Shape: fmt.Sprintf("B%d T%d H%d P%d N%d %s (%s)", dims.Batch, dims.Tokens, dims.Heads, dims.HeadDim, dims.State, dtype, form)}
	return guard(row, func() Row {
		at := places(dims)
		want := make([][]float32, len(at))
		var loops sync.WaitGroup
		for i, p := range at {
			loops.Go(func() { want[i] = naiveAt(dims, p) })
		}
		got, err := operatorAt(d, dims, dtype, plain, chunk, at)
		loops.Wait()
		if err != nil {
			row.Error = err.Error()
			return row
		}
		worst := 0.0
		var all []float32
		for i := range at {
			worst = max(worst, ratio(got[i*dims.HeadDim:][:dims.HeadDim], want[i]))
			all = append(all, want[i]...)
		}
		row.Note += fmt.Sprintf("; at most %.2g at one of %d places", worst, len(at))
		return row.once(ratio(got, all))
	})
}

// operatorAt returns y at the places, [places, headDim]. One graph creates the arrays; they enter and leave the operator's graph
// whole, so that every address in them is used.
func operatorAt(d *xla.Device, dims recurrence.Dims, dtype dtypes.DType, plain bool, chunk int, at []place) ([]float32, error) {
	inner, bc := dims.Heads*dims.HeadDim, dims.Groups*dims.State
	factors := make([]float32, dims.Heads)
	for h := range factors {
		factors[h] = float32(decayOf(h))
	}
	var execs [3]*graph.Exec
	execs[0] = graph.MustNewExec(d.Backend, func(factors *graph.Node) []*graph.Node {
		xbc := graph.DivScalar(graph.AddScalar(bytesAt(factors.Graph(), 0, dims.Batch, dims.Tokens, inner+2*bc), -127.5), 64)
		delta := graph.DivScalar(graph.AddScalar(bytesAt(factors.Graph(), gateSalt, dims.Batch, dims.Tokens, dims.Heads), 1), 2048)
		return []*graph.Node{graph.ConvertDType(xbc, dtype), delta, graph.Mul(delta, graph.Reshape(factors, 1, 1, dims.Heads))}
	})
	execs[1] = graph.MustNewExec(d.Backend, func(xbc, delta, la *graph.Node) []*graph.Node {
		part := func(from, to int, rest ...int) *graph.Node {
			return graph.Reshape(graph.SliceAxis(xbc, -1, graph.AxisRange(from, to)), append([]int{dims.Batch, dims.Tokens}, rest...)...)
		}
		op := recurrence.Operands{X: part(0, inner, dims.Heads, dims.HeadDim), B: part(inner, inner+bc, dims.Groups, dims.State),
			C: part(inner+bc, inner+2*bc, dims.Groups, dims.State), Delta: delta, LogAlpha: la}
		if !plain {
			op.XBC = xbc
		}
		y := recurrence.Chunk(op, chunk).Y
		if !plain {
			y = graph.ConvertDType(y, dtype) // as the kernel returns it
		}
		return []*graph.Node{y}
	})
	execs[2] = graph.MustNewExec(d.Backend, func(y *graph.Node) []*graph.Node {
		var some []*graph.Node
		for _, p := range at {
			v := graph.SliceAxis(graph.SliceAxis(graph.SliceAxis(y, 0, graph.AxisElem(p.batch)), 1, graph.AxisElem(p.token)), 2, graph.AxisElem(p.head))
			some = append(some, graph.Reshape(v, 1, dims.HeadDim))
		}
		return []*graph.Node{graph.ConvertDType(graph.Concatenate(some, 0), dtypes.Float32)}
	})
	args, free := []any{factors}, []*tensors.Tensor(nil)
	defer func() {
		for _, t := range free {
			t.MustFinalizeAll()
		}
	}()
	for _, e := range execs {
		defer e.Finalize()
		outs, err := e.Call(args...)
		if err != nil {
			return nil, err
		}
		for _, t := range free {
			t.MustFinalizeAll()
		}
		args, free = nil, outs
		for _, t := range outs {
			args = append(args, t)
		}
	}
	return tensors.CopyFlatData[float32](free[0])
}

// naiveAt returns y at one place, from the float64 loop over the head's tokens up to it.
func naiveAt(dims recurrence.Dims, p place) []float32 {
	const piece = 8192
	inner, bc := dims.Heads*dims.HeadDim, dims.Groups*dims.State
	group := p.head / (dims.Heads / dims.Groups) * dims.State
	var y, state []float64
	for start := 0; start <= p.token; start += piece {
		n := min(piece, p.token+1-start)
		s := recurrence.Sequence{Dims: recurrence.Dims{Batch: 1, Tokens: n, Heads: 1, HeadDim: dims.HeadDim, Groups: 1, State: dims.State},
			A: []float64{decayOf(p.head)}, Initial: state}
		for t := start; t < start+n; t++ {
			s.Delta = append(s.Delta, gate(p.batch, t, p.head))
			for i := range dims.HeadDim {
				s.X = append(s.X, content(p.batch, t, p.head*dims.HeadDim+i))
			}
			for i := range dims.State {
				s.B = append(s.B, content(p.batch, t, inner+group+i))
				s.C = append(s.C, content(p.batch, t, inner+bc+group+i))
			}
		}
		y, state = recurrence.Naive(s, nil)
	}
	last := make([]float32, dims.HeadDim)
	for i, v := range y[len(y)-dims.HeadDim:] {
		last[i] = float32(v)
	}
	return last
}
