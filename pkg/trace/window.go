package trace

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
)

// Columns of the window table, one row per layer and part of the window of past inputs; statistics over the part's channels and the inputs
// held. Means over the bucket; absmax after its last token.
var (
	written       = []string{lm.Values, lm.Keys, lm.Queries}
	windowColumns = []string{"mean", "variance", "rms", "norm", "absmax"}
)

// threeParts reports whether the window holds values, keys and queries concatenated; otherwise it is a single part.
func (p *plan) threeParts() bool { return len(partsOf(p.model)) == 3 }

// partsOf returns the names of the window's parts.
func partsOf(m lm.Model) []string {
	w, err := windowOf(m)
	if err == nil && w.Role == lm.Convolution && lm.CheckNames(m, written, nil) == nil {
		return written
	}
	return []string{w.Name}
}

// windows computes statistics of the past inputs held, [batch, n, parts, columns]. After token t the window holds the last kernel inputs,
// so its sums are sliding-window sums.
func (p *plan) windows(probes map[string]*Node, length *Node) *Node {
	all := wide(probes[p.named(lm.Inputs)]) // [batch, kernel + tokens, channels]
	kernel, ends := 1, []int{0, all.Shape().Dim(-1)}
	if w, err := windowOf(p.model); err == nil {
		kernel = w.Dim(lm.Tap)
	}
	if p.threeParts() {
		width := func(name string) int { s := probes[name].Shape(); return s.Size() / s.Dim(0) / s.Dim(1) } // channels per token
		values, keys := width(lm.Values), width(lm.Keys)
		ends = []int{0, values, values + keys, all.Shape().Dim(-1)}
	}
	tokens := all.Shape().Dim(1) - kernel
	window := func(v *Node, join func(a, b *Node) *Node) *Node { // over v[t+1] … v[t+kernel] for every token t
		sum := SliceAxis(v, 1, AxisRange(1, 1+tokens))
		for i := 2; i <= kernel; i++ {
			sum = join(sum, SliceAxis(v, 1, AxisRange(i, i+tokens)))
		}
		return sum
	}
	var parts []*Node
	for i := range len(ends) - 1 {
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

// last returns x [batch, tokens] at the last token of every run of p.every tokens before length: [batch, n].
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

// channels concatenates values, keys and queries of every token: [batch, tokens, channels].
func (p *plan) channels(probes map[string]*Node) *Node {
	var all []*Node
	for _, name := range written {
		v := wide(p.byHead(name, probes))
		d := v.Shape().Dimensions
		all = append(all, Reshape(v, d[0], d[1], d[2]*d[3]))
	}
	return Concatenate(all, -1)
}
