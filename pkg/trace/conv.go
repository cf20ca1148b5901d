package trace

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Columns of the table of the convolution state, whose rows are parts x, B and C of a layer: over the channels of the
// part and the kernel's taps. Means over the bucket, absmax after its last token.
var (
	convParts   = []string{"x", "B", "C"}
	convColumns = []string{"mean", "variance", "rms", "norm", "absmax"}
)

// conv is the statistics of the convolution state [batch, n, parts, columns]. The state after token t is the last kernel
// inputs of the convolution, so that its sums are sums over a sliding window.
func (p *plan) conv(probes map[string]*Node, length *Node) *Node {
	all := wide(probes["conv_inputs"]) // [batch, kernel + tokens, channels]
	x, b := probes["x"].Shape(), probes["B"].Shape()
	tokens, ends := x.Dim(1), []int{0, x.Dim(2) * x.Dim(3), x.Dim(2)*x.Dim(3) + b.Dim(2)*b.Dim(3), all.Shape().Dim(-1)}
	kernel := all.Shape().Dim(1) - tokens
	window := func(v *Node, join func(a, b *Node) *Node) *Node { // over v[t+1] … v[t+kernel] for every token t
		sum := SliceAxis(v, 1, AxisRange(1, 1+tokens))
		for i := 2; i <= kernel; i++ {
			sum = join(sum, SliceAxis(v, 1, AxisRange(i, i+tokens)))
		}
		return sum
	}
	var parts []*Node
	for i := range convParts {
		part := SliceAxis(all, -1, AxisRange(ends[i], ends[i+1]))
		count := float64(kernel * (ends[i+1] - ends[i]))
		squares := window(ReduceSum(Square(part), -1), Add)
		mean, square := DivScalar(window(ReduceSum(part, -1), Add), count), DivScalar(squares, count)
		means := Stack([]*Node{mean, MaxScalar(Sub(square, Square(mean)), 0), Sqrt(square), Sqrt(squares)}, -1)
		largest := InsertAxes(p.last(window(ReduceMax(Abs(part), -1), Max), length), -1)
		parts = append(parts, Concatenate([]*Node{p.mean(means, length), largest}, -1))
	}
	return Stack(parts, 2)
}

// last takes x [batch, tokens] after the last of every p.every tokens before length: [batch, n].
func (p *plan) last(x, length *Node) *Node {
	g, batch, tokens := x.Graph(), x.Shape().Dim(0), x.Shape().Dim(1)
	n := (tokens + p.every - 1) / p.every
	at := make([]int32, n)
	for i := range at {
		at[i] = int32(min((i+1)*p.every, tokens) - 1)
	}
	ends := Const(g, at)
	if length != nil {
		ends = Min(ends, AddScalar(length, -1))
	}
	here := Equal(InsertAxes(ends, 0, -1), Iota(g, shapes.Make(dtypes.Int32, batch, n, tokens), 2))
	values := BroadcastToDims(InsertAxes(x, 1), batch, n, tokens)
	return ReduceSum(Where(here, values, ZerosLike(values)), -1)
}

// channels joins x, B and C of every token: [batch, tokens, channels].
func channels(probes map[string]*Node) *Node {
	var all []*Node
	for _, name := range convParts {
		v := wide(probes[name])
		d := v.Shape().Dimensions
		all = append(all, Reshape(v, d[0], d[1], d[2]*d[3]))
	}
	return Concatenate(all, -1)
}
