package train

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// program builds the graph of one call: steps optimiser steps over blocks of one shape.
type program struct {
	config    Config
	model     lm.Model
	members   []Member
	use       uses
	specs     []lm.Spec // of the model, then the learned state
	rows, T   int       // of a member in a micro-batch, on one device; T of the longest steps
	devices   int       // that share the rows
	segmented bool
	dtype     dtypes.DType
	logits    int         // bytes that the logits of one piece may take
	loops     bool        // of the device: else steps and micro-batches are unrolled
	answers   map[int]int // by tokens of a row, the most that are learned from where that is far below; else 0
}

// carry is what one step leaves to the next.
type carry struct {
	params, m, v []*Node
	state        []*Node // [micro-batches, …] of carried and passed, in the order of Model.State
	fit          []*Node // mean and mean square of each recurrent state after the last tokens, see program.fitted
	count        *Node   // [members] steps taken
	bad          *Node   // [members] steps skipped in a row
}

// carried finds the carry among named nodes, put gives it its names.
func (p *program) carried(in lm.In) carry {
	return carry{params: in.Nodes(named("param/", p.specs)), m: in.Nodes(named("adam_m/", p.specs)), v: in.Nodes(named("adam_v/", p.specs)),
		state: in.Nodes(p.stateNames()), fit: in.Nodes(p.fitNames()), count: in.Node("count"), bad: in.Node("bad")}
}

func (p *program) put(out *lm.Out, m carry) {
	out.PutAll(named("param/", p.specs), m.params)
	out.PutAll(named("adam_m/", p.specs), m.m)
	out.PutAll(named("adam_v/", p.specs), m.v)
	out.PutAll(p.stateNames(), m.state)
	out.PutAll(p.fitNames(), m.fit)
	out.PutAll([]string{"count", "bad"}, []*Node{m.count, m.bad})
}

func named(prefix string, specs []lm.Spec) (names []string) {
	for _, s := range specs {
		names = append(names, prefix+s.Name)
	}
	return names
}

// stateNames are those of carry.state.
func (p *program) stateNames() []string {
	if !p.use.carry {
		return nil
	}
	return named("carry/", p.model.State(1))
}

// fitNames are those of carry.fit.
func (p *program) fitNames() (names []string) {
	if !p.use.fit {
		return nil
	}
	for i, s := range p.recurrent() {
		end := "/" + s.Name
		if i == 0 {
			end = ""
		}
		names = append(names, "fit/mean"+end, "fit/square"+end)
	}
	return names
}

// shapes of the carry, in the order of put.
func (p *program) shapes() (all []shapes.Shape, names []string) {
	add := func(name string, dtype dtypes.DType, dims ...int) {
		all, names = append(all, shapes.Make(dtype, dims...)), append(names, name)
	}
	for _, kind := range []string{"param/", "adam_m/", "adam_v/"} {
		for _, s := range p.specs {
			add(kind+s.Name, p.dtype, s.Dims...)
		}
	}
	state, recurrent := p.model.State(len(p.members)*p.rows), p.recurrent()
	for i, name := range p.stateNames() {
		add(name, p.dtype, append([]int{p.config.Accumulate}, state[i].Dims...)...)
	}
	for i, name := range p.fitNames() {
		s := recurrent[i/2]
		add(name, p.dtype, s.Dims[0], len(p.members), units(s))
	}
	add("count", dtypes.Float32, len(p.members))
	add("bad", dtypes.Int32, len(p.members))
	return
}

// results of one step, stacked over the steps of a call.
var resultNames = []string{"loss", "grad_norm", "skipped", "grad_norm_layer", "param_norm_layer"}

func (p *program) results() int {
	if p.config.Log.Norms {
		return 5
	}
	return 3
}

// recurrent lists the recurrent states of one row of each member.
func (p *program) recurrent() (specs []lm.Spec) {
	for _, s := range p.model.State(len(p.members)) {
		if s.Role == lm.Recurrent {
			specs = append(specs, s)
		}
	}
	return specs
}

// units is the number of parts of a state whose moments are kept apart: heads, or channels where there are none.
func units(s lm.Spec) int {
	if s.Along(lm.HeadAxis) >= 0 {
		return s.Dim(lm.HeadAxis)
	}
	return s.Dim(lm.Channel)
}

// inputs are what a step reads: tokens, labels [steps, micro, batch, T], keep [steps, micro, batch], rate [steps, members], clock
// [steps]; of packed documents, starts [steps, micro, batch, T]; where several devices share the rows, the number of the device [steps].
// Inside the step without the first axis.
type inputs struct{ tokens, labels, keep, rate, clock, starts, device *Node }

// inputs are the names of what a step reads.
func (p *program) inputs() []string {
	names := []string{"tokens", "labels", "keep", "rate", "clock"}
	if p.segmented {
		names = append(names, "starts")
	}
	if p.devices > 1 {
		names = append(names, "device")
	}
	return names
}

func inputsOf(in lm.In) inputs {
	return inputs{tokens: in.Node("tokens"), labels: in.Node("labels"), keep: in.Node("keep"), rate: in.Node("rate"), clock: in.Node("clock"),
		starts: in.Node("starts"), device: in.Node("device")}
}

// build is the whole graph: carry and inputs → carry, results.
func (p *program) build(in lm.In, out *lm.Out) {
	_, names := p.shapes()
	for _, name := range names {
		xla.MarkDonor(in.Node(name))
	}
	var carry, xs lm.Out
	carry.PutAll(names, in.Nodes(names))
	xs.PutAll(p.inputs(), in.Nodes(p.inputs()))
	body := func(_ *xla.Iter, in lm.In, next, ys *lm.Out) {
		after, results := p.step(p.carried(in), inputsOf(in))
		p.put(next, after)
		ys.PutAll(resultNames[:p.results()], results)
	}
	var last, stacked lm.In
	if steps := in.Node("tokens").Shape().Dim(0); steps > 1 {
		last, stacked = lm.Loop(xla.Scan{N: steps, Infer: true, Unroll: !p.loops}, carry, xs, lm.Out{}, body)
	} else {
		last, stacked = lm.Once(carry, xs, body)
	}
	out.PutAll(names, last.Nodes(names))
	out.PutAll(resultNames[:p.results()], stacked.Nodes(resultNames))
}

// step is one optimiser step.
func (p *program) step(m carry, b inputs) (next carry, results []*Node) {
	known := ConvertDType(GreaterOrEqual(b.labels, ZerosLike(b.labels)), p.dtype) // [micro, batch, T]
	count := ReduceSum(p.byMember(known, 1), 0, 2, 3)                             // [members]
	count = p.sum(count)[0]
	loss, grads, states, moments := p.accumulate(m, b, MaxScalar(count, 1))
	loss, grads, moments = p.shared(loss, grads, moments)

	norm, byLayer := norms(grads, p.specs)
	finite := And(IsFinite(norm), IsFinite(loss))
	next.count = Add(m.count, ConvertDType(finite, dtypes.Float32))
	next.bad = Where(finite, ZerosLike(m.bad), AddScalar(m.bad, 1))
	scale := OnesLike(norm)
	if p.config.Clip > 0 {
		scale = MinScalar(Div(Scalar(norm.Graph(), norm.DType(), p.config.Clip), AddScalar(norm, 1e-6)), 1)
	}
	for i, s := range p.specs {
		p1, m1, v1 := p.config.adam(m.params[i], m.m[i], m.v[i], grads[i], s, finite, b.rate, scale, next.count)
		next.params, next.m, next.v = append(next.params, p1), append(next.m, m1), append(next.v, v1)
	}
	for i, s := range states { // [micro, layers, batch, …]
		next.state = append(next.state, Where(p.overMembers(finite, m.state[i].Shape(), 2), s, ZerosLike(s)))
	}
	for i, now := range moments {
		first := LessOrEqual(next.count, OnesLike(next.count))
		of := func(x *Node) *Node {
			return BroadcastToShape(Reshape(x, 1, len(p.members), 1), shapes.Make(dtypes.Bool, now.Shape().Dimensions...))
		}
		mean := Add(MulScalar(m.fit[i], fitMemory), MulScalar(now, 1-fitMemory))
		next.fit = append(next.fit, Where(of(finite), Where(of(first), now, mean), m.fit[i]))
	}
	f32 := func(n *Node) *Node { return ConvertDType(n, dtypes.Float32) }
	results = []*Node{f32(loss), f32(norm), OneMinus(f32(finite))}
	if p.config.Log.Norms {
		_, weights := norms(m.params, p.specs)
		results = append(results, f32(byLayer), f32(weights))
	}
	return next, results
}

// fitMemory is the weight of the past in the running moments of fitted.
const fitMemory = 0.99

// byMember splits the batch axis: [members, rows].
func (p *program) byMember(x *Node, axis int) *Node {
	dims := slices.Clone(x.Shape().Dimensions)
	return Reshape(x, slices.Concat(dims[:axis], []int{len(p.members), dims[axis] / len(p.members)}, dims[axis+1:])...)
}

// overMembers spreads x [members] over a shape whose axis holds members × rows.
func (p *program) overMembers(x *Node, s shapes.Shape, axis int) *Node {
	rows := s.Dim(axis) / len(p.members)
	x = Reshape(BroadcastToDims(InsertAxes(x, -1), len(p.members), rows), s.Dim(axis))
	dims := slices.Repeat([]int{1}, s.Rank())
	dims[axis] = s.Dim(axis)
	return BroadcastToDims(Reshape(x, dims...), s.Dimensions...)
}

// accumulate sums loss and gradients over the micro-batches, each token weighted by 1/total of its member.
func (p *program) accumulate(m carry, b inputs, total *Node) (loss *Node, grads, states, moments []*Node) {
	a := p.config.Accumulate
	if a == 1 {
		one := func(n *Node) *Node {
			if n == nil {
				return nil
			}
			return Squeeze(n, 0)
		}
		var state []*Node
		for _, s := range m.state {
			state = append(state, one(s))
		}
		own := inputs{tokens: one(b.tokens), labels: one(b.labels), keep: one(b.keep), clock: b.clock, starts: one(b.starts), device: b.device}
		loss, grads, states, moments = p.micro(m.params, m.fit, total, own, state)
		for i := range states {
			states[i] = InsertAxes(states[i], 0)
		}
		return
	}
	params, fit, state := named("param/", p.specs), p.fitNames(), p.stateNames()
	sum := func(name string) string { return "sum/" + name }
	var sums, rows, consts lm.Out
	sums.Put(sum("loss"), ZerosLike(total))
	for i, n := range slices.Concat(m.params, m.fit) {
		sums.Put(sum(slices.Concat(params, fit)[i]), ZerosLike(n))
	}
	rows.PutAll([]string{"tokens", "labels", "keep"}, []*Node{b.tokens, b.labels, b.keep})
	rows.PutAll(state, m.state)
	consts.PutAll([]string{"total", "clock"}, []*Node{total, b.clock})
	consts.PutAll(slices.Concat(params, fit), slices.Concat(m.params, m.fit))
	if b.starts != nil {
		rows.Put("starts", b.starts)
	}
	if b.device != nil {
		consts.Put("device", b.device)
	}
	last, ys := lm.Loop(xla.Scan{N: a, Infer: true, Unroll: !p.loops}, sums, rows, consts, func(it *xla.Iter, in lm.In, next, ys *lm.Out) {
		add := func(name string, n *Node) { next.Put(sum(name), Add(in.Node(sum(name)), n)) }
		own := inputsOf(in)
		own.clock = Add(MulScalar(own.clock, a), it.I)
		loss, grads, after, moments := p.micro(in.Nodes(params), in.Nodes(fit), in.Node("total"), own, in.Nodes(state))
		add("loss", loss)
		for i, name := range params {
			add(name, grads[i])
		}
		for i, name := range fit {
			add(name, DivScalar(moments[i], a))
		}
		ys.PutAll(state, after)
	})
	of := func(names []string) (nodes []*Node) {
		for _, name := range names {
			nodes = append(nodes, last.Node(sum(name)))
		}
		return nodes
	}
	return last.Node(sum("loss")), of(params), ys.Nodes(state), of(fit)
}

// micro is forward and backward of one micro-batch: the share of the mean loss [members], gradients, last states and
// the moments of the latter.
func (p *program) micro(params, fit []*Node, total *Node, b inputs, state []*Node) (loss *Node, grads, after, moments []*Node) {
	call := lm.Call{Params: lm.ByName(p.specs, params), Tokens: b.tokens, Segments: b.starts, Options: lm.Options{
		Members: len(p.members), Unroll: p.config.Unroll, Save: p.config.Save}}
	if p.config.Compute == "bf16" {
		call.Compute, call.LogitsBF16 = dtypes.BFloat16, true
	}
	call.Controls = p.limits(b.labels.Graph())
	if call.ZeroState = p.use == (uses{}) && call.Controls == nil; !call.ZeroState {
		call.State = p.initial(call.Params, fit, b, state)
	}
	out := p.model.Forward(call)
	known := ConvertDType(GreaterOrEqual(b.labels, ZerosLike(b.labels)), p.dtype)
	weight := Div(known, p.overMembers(total, b.labels.Shape(), 0))
	hidden, labels, length := out.Hidden, b.labels, b.labels.Shape().Dim(-1)
	answers := p.answers[length]
	if answers > 0 {
		hidden, labels, weight = gather(hidden, labels, weight, answers)
		length = answers
	}
	n, most, front := p.config.LossPieces, length, answers > 0 && p.devices == 1
	if front {
		most = atOnce(answers)
	}
	if n == 0 || answers > 0 || length < p.T {
		n = pieces(len(p.members)*p.rows, length, most, p.model.Vocab(), p.logits)
	}
	loss = Loss(p.model, call, hidden, labels, weight, n, front)
	grads = Gradient(ReduceAllSum(loss), params...)
	if p.use.carry {
		for _, s := range lm.InOrder(p.model.State(1), out.State) {
			after = append(after, StopGradient(s))
		}
	}
	if p.use.fit {
		for _, s := range p.recurrent() {
			moments = append(moments, p.fitted(s, out.State[s.Name])...)
		}
	}
	return
}

// fitted are the mean and the mean square of a state [layers, members × rows, …] over rows and all but its units: [layers,
// members, units].
func (p *program) fitted(s lm.Spec, state *Node) []*Node {
	last := p.byMember(StopGradient(state), 1) // [layers, members, rows, …]
	axes := []int{2}
	for a, axis := range s.Axes {
		if axis != lm.Layer && axis != lm.Batch && !isUnit(s, a) {
			axes = append(axes, a+1)
		}
	}
	shape := []int{s.Dims[0], len(p.members), units(s)}
	return []*Node{Reshape(ReduceMean(last, axes...), shape...), Reshape(ReduceMean(Square(last), axes...), shape...)}
}

// isUnit tells whether an axis of a state is that of its units.
func isUnit(s lm.Spec, axis int) bool {
	return s.Axes[axis] == lm.HeadAxis || s.Axes[axis] == lm.Channel && s.Along(lm.HeadAxis) < 0
}

// learnedPrefix starts the names of the parameters of the policy learned.
const learnedPrefix = "initial."

// initial is the state before the first token of every row: kept · keep, plus what the policies add where it starts anew.
func (p *program) initial(params map[string]*Node, fit []*Node, b inputs, kept []*Node) map[string]*Node {
	batch := len(p.members) * p.rows
	keep := b.keep
	g, state, recurrent := keep.Graph(), map[string]*Node{}, 0
	for i, spec := range p.model.State(batch) {
		shape := shapes.Make(p.dtype, spec.Dims...)
		var s *Node
		if p.use.carry {
			dims := slices.Repeat([]int{1}, shape.Rank())
			dims[1] = batch
			on := BroadcastToDims(Reshape(GreaterThan(keep, ZerosLike(keep)), dims...), spec.Dims...)
			s = Where(on, kept[i], ZerosLike(kept[i])) // a product would spread NaN
		}
		if p.use.noise && spec.Role == lm.Recurrent {
			s = plus(s, p.noise(g, spec, recurrent, fit, b))
			recurrent++
		}
		if p.use.learn {
			own := params[learnedPrefix+spec.Name] // [layers, members, …]
			own = Reshape(BroadcastToDims(InsertAxes(own, 2), slices.Concat(own.Shape().Dimensions[:2], []int{p.rows}, spec.Dims[2:])...), spec.Dims...)
			on := Const(g, flags(p.members, "learned"))
			s = plus(s, Mul(own, p.overMembers(ConvertDType(on, p.dtype), shape, 1)))
		}
		if s == nil {
			s = Zeros(g, shape)
		}
		state[spec.Name] = s
	}
	return state
}

// noise is that of gaussian and fitted for the recurrent state of a number.
func (p *program) noise(g *Graph, spec lm.Spec, number int, fit []*Node, b inputs) *Node {
	seeds, shape := make([]int64, len(p.members)), shapes.Make(p.dtype, spec.Dims...)
	for i, r := range p.members {
		seeds[i] = r.Seed + int64(number)<<40
	}
	n := normal(g, seeds, b.clock, p.dtype, shape.Dimensions, p.firstRow(b.device), p.rows*p.devices)
	on := func(policy string) *Node { return ConvertDType(Const(g, flags(p.members, policy)), p.dtype) }
	s := Mul(n, p.overMembers(MulScalar(on("gaussian"), p.config.InitStd), shape, 1))
	if p.use.fit {
		mean, square := fit[2*number], fit[2*number+1]
		spread := func(x *Node) *Node { // [layers, members, units] over the state
			x = Mul(x, Reshape(on("fitted"), 1, len(p.members), 1))
			d := x.Shape().Dimensions
			x = Reshape(BroadcastToDims(InsertAxes(x, 2), d[0], d[1], p.rows, d[2]), d[0], d[1]*p.rows, d[2])
			dims := slices.Repeat([]int{1}, shape.Rank())
			dims[0], dims[1] = d[0], d[1]*p.rows
			for a := range dims {
				if isUnit(spec, a) {
					dims[a] = d[2]
				}
			}
			return BroadcastToDims(Reshape(x, dims...), shape.Dimensions...)
		}
		std := Sqrt(MaxScalar(Sub(square, Square(mean)), 0))
		s = Add(s, Add(spread(mean), Mul(n, spread(std))))
	}
	return s
}
