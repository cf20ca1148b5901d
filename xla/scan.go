package xla

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla/internal/gomlx"
)

// Nodes is a list of graph nodes.
type Nodes = []*Node

// Body is one step of a [Scan]. It must be pure, use only its arguments, and may be traced several times.
// next has the shapes of carry; every y is stacked over the steps.
type Body func(it *Iter, carry, xs, consts Nodes) (next, ys Nodes)

// Scan runs a body N times in one XLA While over stacked [N, …] inputs, and is differentiable: its backward is a
// second While that recomputes each step from its stored carry and takes the body's gradient inside the loop.
// Compile time does not depend on N. Scans nest. There is no second derivative.
type Scan struct {
	N      int  // steps
	Per    int  // steps per turn of the loop; divides N; 0 means 1
	Unroll bool // no loop at all: the oracle, and the differentiable form of the Go backend
	Infer  bool // keep nothing for a backward: generation, statistics

	// Steps, an int32 scalar up to N, says that later steps would leave the carry as it is and have ys of 0: a loop with Infer and
	// without Per ends there. nil: all.
	Steps *Node
}

// Iter tells a body which step it is in and keeps values for the backward pass.
type Iter struct {
	I           *Node // step, int32 scalar
	saved, load Nodes
}

// Save keeps n for the backward pass instead of recomputing it. Call it right after n is made, in the same order in every trace.
func (it *Iter) Save(n *Node) *Node {
	it.saved = append(it.saved, n)
	if it.load != nil { // backward: n keeps its inputs but takes the stored value
		copy(InternalBackendOutputs(n), InternalBackendOutputs(it.load[len(it.saved)-1]))
	}
	return n
}

// Run returns the last carry and the stacked ys ([N, …] each). Row i of every xs goes to step i, consts to all steps.
// Every float among carry, xs and consts receives its gradient.
func (s Scan) Run(carry, xs, consts Nodes, body Body) (last, ys Nodes) {
	if s.N < 1 || s.N%max(s.Per, 1) != 0 {
		panicf("xla.Scan: N = %d must be at least 1 and a multiple of Per = %d", s.N, s.Per)
	}
	if s.Steps != nil && (!s.Infer || s.Per > 1) {
		panicf("xla.Scan: Steps needs Infer and one step per turn")
	}
	g := carry[0].Graph()
	if s.Unroll || (!s.Infer && !slicesDynamically(g)) {
		return s.unroll(carry, xs, consts, body)
	}
	per, all, nc, nx, ny := max(s.Per, 1), cat(carry, xs, consts), len(carry), len(xs), 0
	outs := loop(g, s.N/per, s.Steps, all, func(j *Node, p Nodes, buffer func(shapes.Shape) *Node) Nodes {
		c, bufs := p[:nc], Nodes(nil)
		for u := range per {
			it := &Iter{I: AddScalar(MulScalar(j, per), u)}
			next, stack := body(it, c, rowsAt(p[nc:nc+nx], it.I), p[nc+nx:])
			ny = len(stack)
			if !s.Infer {
				stack = cat(stack, c, it.saved)
			}
			for q, n := range stack {
				if u == 0 {
					bufs = append(bufs, buffer(shapes.Make(n.DType(), append([]int{s.N}, n.Shape().Dimensions...)...)))
				}
				bufs[q] = Put(bufs[q], n, it.I)
			}
			c = next
		}
		return cat(c, p[nc:], bufs)
	})
	stack := outs[len(all):] // ys, carries, saved
	if !s.Infer {
		g.AttachState(scanKey(outs[0].Inputs()[0].Id()), func(v Nodes) Nodes { // v: adjoints of index, all, stack
			return s.backward(v[1:1+nc], v[1+len(all):][:ny], stack[ny:ny+nc], stack[ny+nc:], carry, xs, consts, body)
		})
	}
	return outs[:nc], stack[:ny]
}

func (s Scan) backward(dlast, dys, carries, saved, carry, xs, consts Nodes, body Body) Nodes {
	g, per, all, nc, nx := carry[0].Graph(), max(s.Per, 1), cat(carry, xs, consts), len(carry), len(xs)
	var floats []int // which of all have a gradient
	var state Nodes
	for q, n := range all {
		if !n.DType().IsFloat() {
			continue
		}
		floats = append(floats, q)
		if q < nc {
			state = append(state, dlast[q])
		} else {
			state = append(state, Zeros(g, n.Shape()))
		}
	}
	outs := loop(g, s.N/per, nil, cat(state, xs, consts, dys, carries, saved), func(j *Node, p Nodes, _ func(shapes.Shape) *Node) Nodes {
		keep := p[len(floats):]
		take := func(n int) (first Nodes) { first, p = p[:n], p[n:]; return }
		d := cat(take(len(floats)))
		x, k, dy, c, sv := take(nx), take(len(consts)), take(len(dys)), take(nc), take(len(saved))
		for u := range per {
			i := Sub(Const(g, int32(s.N-1-u)), MulScalar(j, per))
			in, adj := cat(rowsAt(c, i), rowsAt(x, i), k), rowsAt(dy, i)
			next, y := body(&Iter{I: i, load: append(Nodes{}, rowsAt(sv, i)...)}, in[:nc], in[nc:nc+nx], k)
			total := Scalar(g, dtypes.Float32, 0) // its gradient is the vector-Jacobian product
			if in[floats[0]].DType() == dtypes.Float64 {
				total = Scalar(g, dtypes.Float64, 0)
			}
			dot := func(out, v *Node) {
				total = Add(total, ConvertDType(ReduceAllSum(Mul(out, StopGradient(v))), total.DType()))
			}
			var wrt Nodes
			for q, f := range floats {
				if wrt = append(wrt, in[f]); f < nc {
					dot(next[f], d[q])
				}
			}
			for q, n := range y {
				if n.DType().IsFloat() {
					dot(n, adj[q])
				}
			}
			for q, v := range Gradient(total, wrt...) {
				switch f := floats[q]; {
				case f >= nc+nx:
					v = Add(d[q], v)
				case f >= nc:
					v = Put(d[q], v, i)
				}
				d[q] = v
			}
		}
		return cat(d, keep)
	})
	res := make(Nodes, 1+len(all)+len(dys)+len(carries)+len(saved))
	for q, f := range floats {
		res[1+f] = outs[q]
	}
	return res
}

func (s Scan) unroll(c, xs, consts Nodes, body Body) (last, ys Nodes) {
	var stacks []Nodes
	for i := range s.N {
		var x, y Nodes
		for _, n := range xs {
			x = append(x, Squeeze(SliceAxis(n, 0, AxisElem(i)), 0))
		}
		c, y = body(&Iter{I: Const(c[0].Graph(), int32(i))}, c, x, consts)
		for q, n := range y {
			if i == 0 {
				stacks = append(stacks, nil)
			}
			stacks[q] = append(stacks[q], InsertAxes(n, 0))
		}
	}
	for _, rows := range stacks {
		if len(rows) == 1 {
			ys = append(ys, rows[0])
		} else {
			ys = append(ys, Concatenate(rows, 0))
		}
	}
	return c, ys
}

type scanKey NodeId

func init() {
	gomlx.OnGradient(NodeTypeWhile, func(n *Node, v Nodes, _ shapes.Shape, _ VJP) Nodes {
		f, ok := n.Graph().State(scanKey(n.Id())).(func(Nodes) Nodes)
		if !ok {
			panicf("xla: this While has no gradient; use Scan without Infer")
		}
		return f(v)
	})
}

// loop runs body n times, or steps times if that is given. New buffers that the body asks for start as zeros; their last values
// follow those of init.
func loop(g *Graph, n int, steps *Node, init Nodes, body func(j *Node, p Nodes, buffer func(shapes.Shape) *Node) Nodes) Nodes {
	turn := Nodes{Const(g, int32(0))}
	if steps != nil {
		turn = append(turn, steps)
	}
	state, first := cat(turn, init), len(turn)
	var extra []shapes.Shape
	param := func(s shapes.Shape) *Node { return Parameter(g, g.UniqueName("loop"), s) }
	params := func() (p Nodes) {
		for _, x := range state {
			p = append(p, param(x.Shape()))
		}
		return
	}
	step := gomlx.Closure(g, func() Nodes {
		p := params()
		return cat(Nodes{AddScalar(p[0], 1)}, p[1:first], body(p[0], p[first:], func(s shapes.Shape) *Node {
			extra = append(extra, s)
			return param(s)
		}))
	})
	for _, s := range extra {
		state = append(state, Zeros(g, s))
	}
	cond := gomlx.Closure(g, func() Nodes {
		p, end := params(), Const(g, int32(n))
		if steps != nil {
			end = p[1]
		}
		return Nodes{LessThan(p[0], end)}
	})
	return While(cond, step, state...)[first:]
}

func slicesDynamically(g *Graph) bool {
	return g.Backend().Capabilities().Operations[compute.OpTypeDynamicUpdateSlice]
}

// At returns row i (int32 scalar) of a stack [n, …].
func At(stack, i *Node) *Node {
	dims := append([]int{1}, stack.Shape().Dimensions[1:]...)
	if !slicesDynamically(stack.Graph()) {
		return Reshape(Gather(stack, Reshape(i, 1, 1)), dims[1:]...)
	}
	return Reshape(DynamicSlice(stack, firstIndex(stack, i), dims), dims[1:]...)
}

// Put returns the stack with row i replaced; inside a loop XLA does this in place.
func Put(stack, row, i *Node) *Node {
	if !slicesDynamically(stack.Graph()) {
		g, n := stack.Graph(), stack.Shape().Dim(0)
		here := Equal(Iota(g, shapes.Make(dtypes.Int32, n), 0), i)
		here = BroadcastToShape(ExpandLeftToRank(Reshape(here, append([]int{n}, slices.Repeat([]int{1}, stack.Rank()-1)...)...), stack.Rank()),
			shapes.Make(dtypes.Bool, stack.Shape().Dimensions...))
		return Where(here, BroadcastToShape(InsertAxes(row, 0), stack.Shape()), stack)
	}
	return DynamicUpdateSlice(stack, InsertAxes(row, 0), firstIndex(stack, i))
}

func firstIndex(stack, i *Node) Nodes {
	idx := Nodes{i}
	for len(idx) < stack.Rank() {
		idx = append(idx, Const(i.Graph(), int32(0)))
	}
	return idx
}

func rowsAt(stacks Nodes, i *Node) (rows Nodes) {
	for _, s := range stacks {
		rows = append(rows, At(s, i))
	}
	return
}

func panicf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func cat(lists ...Nodes) Nodes { return slices.Concat(lists...) }
