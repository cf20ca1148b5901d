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

// Outputs of the reduction, each stacked over layers; float64, or float32 if kernels compute them.
const (
	perHead  = "heads"    // [layers, batch, n, heads, columns]: means over runs of p.every tokens, in the order of plan.means
	perEnd   = "ends"     // [layers, n, batch, heads, columns]: absmax and top_share after the last token of each run
	perGram  = "gram"     // [layers, n, batch, heads, k, k]: Gram matrix of the state's rows, or of its columns if there are fewer
	perEntry = "entries"  // [layers, n, batch, entries]
	perPart  = "window"   // [layers, batch, n, parts, columns]
	perChan  = "channels" // [layers, batch, n, channels]
)

// plan is the part of a config that the device computes.
type plan struct {
	dims
	model   lm.Model
	state   string // the requested state
	window  string // name of the state that holds past inputs
	every   int
	means   []string
	ends    bool
	gram    int // k of perGram, 0 if not requested
	exact   bool
	entries []Entry
	probes  []string
	outputs []string
}

func newPlan(c Config, m lm.Model) (*plan, error) {
	d, err := dimsOf(m, c.State)
	if err != nil {
		return nil, err
	}
	p := &plan{dims: d, model: m, state: c.State, every: c.every(), exact: c.Exact, entries: c.Entries}
	asked := map[string]bool{}
	for _, name := range c.Columns {
		asked[name] = true
	}
	asked[lm.LogAlpha] = asked[lm.LogAlpha] || asked["retention"] || asked["log_retention"]
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
	if slices.ContainsFunc(rankColumns, func(name string) bool { return asked[name] }) {
		p.gram = min(d.values, d.keys)
		p.outputs = append(p.outputs, perGram)
	}
	if len(c.Entries) > 0 {
		p.outputs = append(p.outputs, perEntry)
	}
	if c.Window {
		w, err := windowOf(m)
		if err != nil {
			return nil, err
		}
		p.window = w.Name
		needs[lm.Inputs] = true
		if p.threeParts() {
			needs[lm.Values], needs[lm.Keys] = true, true
		}
		p.outputs = append(p.outputs, perPart)
	}
	if len(c.Channels) > 0 {
		needs[lm.Values], needs[lm.Keys], needs[lm.Queries] = true, true, true
		p.outputs = append(p.outputs, perChan)
	}
	if p.ends || p.gram > 0 || len(p.entries) > 0 {
		needs[lm.States] = true
	}
	for _, name := range []string{lm.Sum, lm.Squares, lm.Delta, lm.LogAlpha, lm.Values, lm.Keys, lm.Queries, lm.Inputs, lm.States} {
		if needs[name] {
			p.probes = append(p.probes, p.named(name))
		}
	}
	return p, nil
}

// named returns the model's name for a probe of the traced state or of its input window.
func (p *plan) named(name string) string {
	switch name {
	case lm.Sum, lm.Squares, lm.States:
		return lm.Of(name, p.model, p.state)
	case lm.Inputs:
		return lm.Of(name, p.model, p.window)
	}
	return name
}

func probesOf(column string) []string {
	switch column {
	case "mean":
		return []string{lm.Sum}
	case "variance":
		return []string{lm.Sum, lm.Squares}
	case "rms", "norm":
		return []string{lm.Squares}
	case "absmax", "top_share", "effective_rank", "stable_rank", "numerical_rank":
		return []string{lm.States}
	case "x_norm":
		return []string{lm.Values}
	case "b_norm":
		return []string{lm.Keys, lm.Values} // they determine the number of heads
	case "c_norm":
		return []string{lm.Queries, lm.Values}
	case "write_norm":
		return []string{lm.Delta, lm.Values, lm.Keys}
	case "retention", "log_retention":
		return []string{lm.LogAlpha}
	}
	return []string{column}
}

func (p *plan) reduction() *lm.Reduction {
	r := &lm.Reduction{Name: fmt.Sprint(p.spec.Name, p.every, p.means, p.ends, p.gram, p.entries, p.exact), Every: p.every, Outputs: p.outputs, Layer: p.layer, States: p.ofStates}
	if !p.exact && p.gram == 0 && len(p.entries) == 0 {
		r.Statistics = []string{p.named(lm.Sum), p.named(lm.Squares), lm.Delta, lm.LogAlpha, p.named(lm.States)}
	}
	return r
}

// layer reduces the probes of one layer.
func (p *plan) layer(probes map[string]*Node, length *Node) (outputs []*Node) {
	all := probes["statistics"] // computed by kernels, or nil
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
			outputs = append(outputs, SliceAxis(probes[p.named(lm.States)], -1, AxisRange(0, 2)))
		case perGram:
			packed := probes[p.named(lm.States)]
			from := packed.Shape().Dim(-1) - len(p.entries) - p.gram*p.gram
			outputs = append(outputs, SliceAxis(packed, -1, AxisRange(from, from+p.gram*p.gram)))
		case perEntry:
			n, heads := len(p.entries), p.heads
			packed := probes[p.named(lm.States)] // [n, batch, heads, 2 + entries]; each entry is in the row of its head
			var all []*Node
			for e, entry := range p.entries {
				at := packed.Shape().Dim(-1) - n + e
				v := SliceAxis(SliceAxis(packed, -1, AxisElem(at)), 2, AxisElem(entry.Head%heads))
				all = append(all, Reshape(v, v.Shape().Dim(0), v.Shape().Dim(1), 1))
			}
			outputs = append(outputs, Concatenate(all, -1))
		case perPart:
			outputs = append(outputs, p.windows(probes, length))
		case perChan:
			outputs = append(outputs, p.mean(p.channels(probes), length))
		}
	}
	return outputs
}

// columnsOf selects columns of the kernels' statistics.
func columnsOf(all *Node, names []string) *Node {
	var parts []*Node
	for _, name := range names {
		parts = append(parts, SliceAxis(all, -1, AxisElem(slices.Index(recurrence.StatisticColumns, name))))
	}
	return Concatenate(parts, -1)
}

// column returns a per-token quantity, float64 [batch, tokens, heads].
func (p *plan) column(name string, probes map[string]*Node) *Node {
	entries := float64(p.values * p.keys)
	sum, squares := probes[p.named(lm.Sum)], probes[p.named(lm.Squares)]
	switch name {
	case "mean":
		return DivScalar(sum, entries)
	case "variance":
		mean := DivScalar(sum, entries)
		return MaxScalar(Sub(DivScalar(squares, entries), Square(mean)), 0)
	case "rms":
		return Sqrt(DivScalar(squares, entries))
	case "norm":
		return Sqrt(squares)
	case "x_norm":
		return norm(p.byHead(lm.Values, probes))
	case "b_norm":
		return p.perHead(norm(p.byHead(lm.Keys, probes)))
	case "c_norm":
		return p.perHead(norm(p.byHead(lm.Queries, probes)))
	case "write_norm":
		return Mul(Mul(wide(probes[lm.Delta]), norm(p.byHead(lm.Values, probes))), p.perHead(norm(p.byHead(lm.Keys, probes))))
	}
	probe, x := p.probe(name), wide(probes[name])
	if finer := probe.Finer(); len(finer) > 0 { // decay per key, or per channel and key
		x = ReduceMean(x, finer...)
	}
	if !probe.HasHeads() {
		x = InsertAxes(x, 2)
	}
	return x
}

func (p *plan) probe(name string) lm.Probe {
	probe, err := lm.ProbeOf(p.model, name)
	if err != nil {
		panic(err)
	}
	return probe
}

// byHead returns a probe as [batch, tokens, heads or groups, …]; a probe without these axes gets a single head.
func (p *plan) byHead(name string, probes map[string]*Node) *Node {
	if p.probe(name).HasHeads() {
		return probes[name]
	}
	return InsertAxes(probes[name], 2)
}

func wide(x *Node) *Node { return ConvertDType(x, dtypes.Float64) }

// norm is the Euclidean norm over the last axis.
func norm(x *Node) *Node {
	if x.DType() == dtypes.BFloat16 {
		x = ConvertDType(x, dtypes.Float32)
	}
	return wide(Sqrt(ReduceSum(Square(x), -1)))
}

// perHead repeats the value of each group [batch, tokens, groups] for the group's heads.
func (p *plan) perHead(x *Node) *Node {
	d := x.Shape().Dimensions
	return Reshape(BroadcastToDims(InsertAxes(x, -1), d[0], d[1], d[2], p.heads/d[2]), d[0], d[1], p.heads)
}

// mean averages x [batch, tokens, …] over runs of p.every tokens, ignoring tokens from length on: [batch, n, …], float64.
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

// expand broadcasts a mask [tokens] to the shape of x [batch, tokens, …].
func expand(mask, x *Node) *Node {
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = mask.Shape().Dim(0)
	return BroadcastToShape(Reshape(mask, dims...), shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
}

// ofStates computes absmax, top_share, the Gram matrix and the requested entries of states [n, batch, …] whose axes are as in their spec:
// [n, batch, heads, 2 + k² + entries].
func (p *plan) ofStates(h *Node) *Node {
	h = p.spec.Matrix(wide(h), 2)
	d := h.Shape().Dimensions
	all := make([]*Node, 0, 2+len(p.entries))
	if p.ends {
		energy := ReduceSum(Square(h), 3) // [n, batch, heads, keys]
		top := topSum(energy, int(math.Ceil(float64(p.keys)/16)))
		total := ReduceSum(energy, -1)
		share := Div(top, MaxScalar(total, math.SmallestNonzeroFloat64)) // 0 where the state is 0
		all = append(all, ReduceMax(Abs(h), -1, -2), share)
	}
	for i := range all {
		all[i] = InsertAxes(all[i], -1)
	}
	if p.gram > 0 {
		product := "nbhvk,nbhwk->nbhvw"
		if p.keys < p.values {
			product = "nbhvk,nbhvw->nbhkw"
		}
		all = append(all, Reshape(Einsum(product, h, h), d[0], d[1], d[2], p.gram*p.gram))
	}
	flat := Reshape(h, d[0], d[1], d[2], d[3]*d[4])
	for _, e := range p.entries {
		all = append(all, SliceAxis(flat, -1, AxisElem(e.Channel*d[4]+e.State)))
	}
	return Concatenate(all, -1)
}

// topSum sums the k largest entries along the last axis.
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
