package trace

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
)

// Outputs of the reduction, each stacked over layers: float64, or float32 where kernels make them.
const (
	perHead  = "heads"    // [layers, batch, n, heads, columns]: means over every so many tokens, in the order of plan.means
	perEnd   = "ends"     // [layers, n, batch, heads, columns]: absmax, top_share, after the last of them
	perEntry = "entries"  // [layers, n, batch, entries]
	perConv  = "conv"     // [layers, batch, n, parts, columns]
	perChan  = "channels" // [layers, batch, n, channels]
)

// plan is what a config asks of the device.
type plan struct {
	dims
	every   int
	means   []string
	ends    bool
	exact   bool
	entries []Entry
	probes  []string
	outputs []string
}

func newPlan(c Config, m lm.Model) *plan {
	p := &plan{dims: dimsOf(m), every: c.every(), exact: c.Exact, entries: c.Entries}
	asked := map[string]bool{}
	for _, name := range c.Columns {
		asked[name] = true
	}
	asked["log_alpha"] = asked["log_alpha"] || asked["retention"] || asked["log_retention"]
	needs := map[string]bool{}
	for _, name := range meanColumns {
		if asked[name] {
			p.means = append(p.means, name)
			for _, probe := range probesOf(name) {
				needs[probe] = true
			}
		}
	}
	if len(p.means) > 0 {
		p.outputs = append(p.outputs, perHead)
	}
	if p.ends = asked["absmax"] || asked["top_share"]; p.ends {
		p.outputs = append(p.outputs, perEnd)
	}
	if len(c.Entries) > 0 {
		p.outputs = append(p.outputs, perEntry)
	}
	if c.Conv {
		needs["conv_inputs"], needs["x"], needs["B"] = true, true, true
		p.outputs = append(p.outputs, perConv)
	}
	if len(c.Channels) > 0 {
		needs["x"], needs["B"], needs["C"] = true, true, true
		p.outputs = append(p.outputs, perChan)
	}
	for _, name := range []string{"sum", "squares", "delta", "log_alpha", "x", "B", "C", "conv_inputs"} {
		if needs[name] {
			p.probes = append(p.probes, name)
		}
	}
	if p.ends || len(p.entries) > 0 {
		p.probes = append(p.probes, "states")
	}
	return p
}

func probesOf(column string) []string {
	switch column {
	case "mean":
		return []string{"sum"}
	case "variance":
		return []string{"sum", "squares"}
	case "rms", "norm":
		return []string{"squares"}
	case "x_norm":
		return []string{"x"}
	case "b_norm":
		return []string{"B", "x"} // x tells the number of heads
	case "c_norm":
		return []string{"C", "x"}
	case "write_norm":
		return []string{"delta", "x", "B"}
	}
	return []string{column}
}

func (p *plan) reduction() *lm.Reduction {
	r := &lm.Reduction{Name: fmt.Sprint(p.every, p.means, p.ends, p.entries, p.exact), Every: p.every, Outputs: p.outputs, Layer: p.layer, States: p.ofStates}
	if !p.exact && len(p.entries) == 0 {
		r.Statistics = []string{"sum", "squares", "delta", "log_alpha", "states"}
	}
	return r
}

// layer reduces the probes of one layer.
func (p *plan) layer(probes map[string]*Node, length *Node) (outputs []*Node) {
	all := probes["statistics"] // of kernels, or nil
	for _, name := range p.outputs {
		switch {
		case name == perHead && all != nil:
			outputs = append(outputs, columnsOf(all, p.means))
			continue
		case name == perEnd && all != nil:
			outputs = append(outputs, TransposeAllAxes(columnsOf(all, endColumns), 1, 0, 2, 3))
			continue
		}
		switch name {
		case perHead:
			var all []*Node
			for _, column := range p.means {
				all = append(all, InsertAxes(p.mean(p.column(column, probes), length), -1))
			}
			outputs = append(outputs, Concatenate(all, -1))
		case perEnd:
			outputs = append(outputs, SliceAxis(probes["states"], -1, AxisRange(0, 2)))
		case perEntry:
			n, heads := len(p.entries), p.heads
			packed := probes["states"] // [n, batch, heads, 2 + entries]: entry e stands in the row of its head
			var all []*Node
			for e, entry := range p.entries {
				at := packed.Shape().Dim(-1) - n + e
				v := SliceAxis(SliceAxis(packed, -1, AxisElem(at)), 2, AxisElem(entry.Head%heads))
				all = append(all, Reshape(v, v.Shape().Dim(0), v.Shape().Dim(1), 1))
			}
			outputs = append(outputs, Concatenate(all, -1))
		case perConv:
			outputs = append(outputs, p.conv(probes, length))
		case perChan:
			outputs = append(outputs, p.mean(channels(probes), length))
		}
	}
	return outputs
}

// columnsOf takes columns of the statistics of kernels.
func columnsOf(all *Node, names []string) *Node {
	var parts []*Node
	for _, name := range names {
		parts = append(parts, SliceAxis(all, -1, AxisElem(slices.Index(recurrence.StatisticColumns, name))))
	}
	return Concatenate(parts, -1)
}

// column is a quantity of every token, float64 [batch, tokens, heads].
func (p *plan) column(name string, probes map[string]*Node) *Node {
	entries := float64(p.headDim * p.state)
	switch name {
	case "mean":
		return DivScalar(probes["sum"], entries)
	case "variance":
		mean := DivScalar(probes["sum"], entries)
		return MaxScalar(Sub(DivScalar(probes["squares"], entries), Square(mean)), 0)
	case "rms":
		return Sqrt(DivScalar(probes["squares"], entries))
	case "norm":
		return Sqrt(probes["squares"])
	case "x_norm":
		return norm(probes["x"])
	case "b_norm":
		return p.perHead(norm(probes["B"]))
	case "c_norm":
		return p.perHead(norm(probes["C"]))
	case "write_norm":
		return Mul(Mul(wide(probes["delta"]), norm(probes["x"])), p.perHead(norm(probes["B"])))
	}
	return wide(probes[name])
}

func wide(x *Node) *Node { return ConvertDType(x, dtypes.Float64) }

// norm is the Euclidean norm over the last axis.
func norm(x *Node) *Node {
	if x.DType() == dtypes.BFloat16 {
		x = ConvertDType(x, dtypes.Float32)
	}
	return wide(Sqrt(ReduceSum(Square(x), -1)))
}

// perHead repeats a value of a group [batch, tokens, groups] for its heads.
func (p *plan) perHead(x *Node) *Node {
	d := x.Shape().Dimensions
	return Reshape(BroadcastToDims(InsertAxes(x, -1), d[0], d[1], d[2], p.heads/d[2]), d[0], d[1], p.heads)
}

// mean averages x [batch, tokens, …] over every p.every tokens before length: [batch, n, …], float64.
func (p *plan) mean(x, length *Node) *Node {
	d := x.Shape().Dimensions
	n := (d[1] + p.every - 1) / p.every
	real := realTokens(x.Graph(), d[1], length) // [tokens]
	x = Where(expand(real, x), wide(x), Zeros(x.Graph(), shapes.Make(dtypes.Float64, d...)))
	count := wide(real)
	if pad := n*p.every - d[1]; pad > 0 {
		dims := append([]int{}, d...)
		dims[1] = pad
		x = Concatenate([]*Node{x, Zeros(x.Graph(), shapes.Make(dtypes.Float64, dims...))}, 1)
		count = Concatenate([]*Node{count, Zeros(x.Graph(), shapes.Make(dtypes.Float64, pad))}, 0)
	}
	x = ReduceSum(Reshape(x, append([]int{d[0], n, p.every}, d[2:]...)...), 2)
	count = MaxScalar(ReduceSum(Reshape(count, n, p.every), 1), 1)
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = n
	return Div(x, Reshape(count, dims...))
}

func realTokens(g *Graph, tokens int, length *Node) *Node {
	at := Iota(g, shapes.Make(dtypes.Int32, tokens), 0)
	if length == nil {
		return GreaterOrEqual(at, ZerosLike(at))
	}
	return LessThan(at, BroadcastToShape(length, at.Shape()))
}

// expand spreads a mask [tokens] over x [batch, tokens, …].
func expand(mask, x *Node) *Node {
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = mask.Shape().Dim(0)
	return BroadcastToShape(Reshape(mask, dims...), shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
}

// ofStates takes absmax, top_share and the entries of h [n, batch, heads, headDim, state]: [n, batch, heads, 2 + entries].
func (p *plan) ofStates(h *Node) *Node {
	h = wide(h)
	d := h.Shape().Dimensions
	all := make([]*Node, 0, 2+len(p.entries))
	if p.ends {
		energy := ReduceSum(Square(h), 3) // [n, batch, heads, state]
		top := topSum(energy, int(math.Ceil(float64(p.state)/16)))
		total := ReduceSum(energy, -1)
		share := Div(top, MaxScalar(total, math.SmallestNonzeroFloat64)) // 0 where the state is 0
		all = append(all, ReduceMax(Abs(h), -1, -2), share)
	}
	flat := Reshape(h, d[0], d[1], d[2], d[3]*d[4])
	for _, e := range p.entries {
		all = append(all, Squeeze(SliceAxis(flat, -1, AxisElem(e.Channel*d[4]+e.State)), -1))
	}
	return Stack(all, -1)
}

// topSum adds up the k largest entries of the last axis.
func topSum(x *Node, k int) *Node {
	var sum *Node
	for i := range k {
		largest := ReduceMax(x, -1)
		if sum == nil {
			sum = largest
		} else {
			sum = Add(sum, largest)
		}
		if i < k-1 {
			at := InsertAxes(ArgMax(x, -1, dtypes.Int32), -1)
			taken := Equal(at, Iota(x.Graph(), shapes.Make(dtypes.Int32, x.Shape().Dimensions...), x.Rank()-1))
			x = Where(taken, MulScalar(OnesLike(x), -1), x)
		}
	}
	return sum
}
