package lm

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"stuffed/xla"
)

// unrolled is the most layers that a CPU decodes without a loop over them where there is no Step, as with controls: a loop
// costs it more than the layers of a small model (byte model of two layers: 4.1K tokens/s looped, 5.1K unrolled).
const unrolled = 4

// Step is one token of every sequence in a form of its own, for a loop on the device.
type Step struct {
	Consts []*graph.Node // made once, before the loop
	// Run gets Consts, tokens [batch] and the state, inside the loop; logits are [batch, vocab].
	Run func(consts []*graph.Node, tokens *graph.Node, state map[string]*graph.Node) (logits *graph.Node, next map[string]*graph.Node)
}

// stepper is a model with such a form: Step is nil where a call has none, and Forward does it.
type stepper interface{ Step(call Call) *Step }

// decoder compiles n one-token steps as one loop on the device: parameters, tokens (the last of each [batch]), state,
// [uniform numbers [n, batch]], position of the last tokens, [inverse temperature, top-p], controls → made [n, batch], last
// tokens, state.
func (r *Runner) decoder(n int, nucleus bool, controls []string, args *Args) *Program {
	key := fmt.Sprint("decode ", r.Options, n, args.has("uniform"), nucleus, controls)
	options := r.Options
	if options.Infer = true; r.Device.Kind != "cuda" && r.Weights.Model.Layers() <= unrolled {
		options.Unroll = true
	}
	d := decoding{r.Weights.Model, r.Weights.Specs, options, n, nucleus, controls}
	return r.compiled.Get(r.Device, key, args, d.build)
}

// decoding is what the graph of a decoder depends on.
type decoding struct {
	model    Model
	params   []Spec
	options  Options
	n        int
	nucleus  bool
	controls []string
}

func (d decoding) build(in In, out *Out) {
	var carry, xs, consts Out
	carry.Put("tokens", in.Node("tokens"))
	carry.State(d.model, in.State())
	var step *Step
	var weights []string
	if m, ok := d.model.(stepper); ok && len(d.controls) == 0 {
		step = m.Step(Call{Params: in.Params(), Tokens: graph.InsertAxes(in.Node("tokens"), 1), Options: d.options})
	}
	if step != nil {
		for i := range step.Consts {
			weights = append(weights, fmt.Sprint("step/", i))
		}
		consts.PutAll(weights, step.Consts)
	} else {
		consts.Params(d.params, in.Params())
	}
	sampled, fixed := in.Node("uniform") != nil, []string{"position"}
	if sampled {
		xs.Put("uniform", in.Node("uniform"))
		fixed = append(fixed, "inverse temperature", "top-p")
	}
	for _, name := range d.controls {
		fixed = append(fixed, controlPrefix+name)
	}
	consts.PutAll(fixed, in.Nodes(fixed))
	last, stacked := Loop(xla.Scan{N: d.n, Infer: true}, carry, xs, consts, func(it *xla.Iter, in In, next, ys *Out) {
		at, tokens, state := graph.Add(in.Node("position"), it.I), in.Node("tokens"), in.State()
		var logits *graph.Node
		if step != nil {
			logits, state = step.Run(in.Nodes(weights), tokens, state)
		} else {
			logits, state = d.token(in, tokens, state, at)
		}
		token := graph.ArgMax(logits, -1, dtypes.Int32)
		if sampled {
			token = d.sample(logits, in.Node("uniform"), in.Node("inverse temperature"), in.Node("top-p"))
		}
		next.Put("tokens", token)
		next.State(d.model, state)
		ys.Put("made", token)
	})
	out.Put("made", stacked.Node("made"))
	out.Put("tokens", last.Node("tokens"))
	out.State(d.model, last.State())
}

// token is Forward of one token per sequence.
func (d decoding) token(in In, tokens *graph.Node, state map[string]*graph.Node, at *graph.Node) (logits *graph.Node, next map[string]*graph.Node) {
	call := Call{Params: in.Params(), Tokens: graph.InsertAxes(tokens, 1), State: state, Offset: at, Options: d.options}
	if len(d.controls) > 0 {
		call.Controls = in.Under(controlPrefix)
	}
	out := d.model.Forward(call)
	return graph.Squeeze(d.model.Logits(call, out.Hidden), 1), out.State
}

// sample draws a token of every row of logits.
func (d decoding) sample(logits, uniform, inverse, topP *graph.Node) *graph.Node {
	below := graph.Sub(logits, graph.ReduceAndKeep(logits, graph.ReduceMax, -1)) // scaling it cannot overflow upwards
	p := graph.Softmax(graph.Mul(below, graph.ConvertDType(inverse, logits.DType())), -1)
	if d.nucleus {
		p = Nucleus(p, graph.ConvertDType(topP, p.DType()))
	}
	return Draw(p, graph.ConvertDType(uniform, p.DType()))
}

// The Go backend frees operands of a loop body too early where a BroadcastToShape feeds a binary operation: rely on the
// operations' own broadcasting.

// Nucleus keeps of probabilities [batch, vocab] the fewest most likely ones that sum to at least topP, and those equal to the
// least of them, and zeroes the rest (arXiv 1904.09751). The threshold is found by bisection, without sorting.
func Nucleus(p, topP *graph.Node) *graph.Node {
	kept := func(p, threshold *graph.Node) *graph.Node {
		return graph.Where(graph.GreaterOrEqual(p, threshold), p, graph.ZerosLike(p))
	}
	enough := func(threshold *graph.Node) *graph.Node {
		return graph.GreaterOrEqual(graph.ReduceAndKeep(kept(p, threshold), graph.ReduceSum, -1), topP)
	}
	top := graph.ReduceAndKeep(p, graph.ReduceMax, -1)
	low, step := graph.ZerosLike(top), top // a threshold of low is always enough
	for range 30 {
		step = graph.MulScalar(step, 0.5)
		middle := graph.Add(low, step)
		low = graph.Where(enough(middle), middle, low)
	}
	return kept(p, graph.Where(enough(top), top, low))
}

// Draw takes one index per row of weights [batch, vocab] with probability proportional to them: the first whose running
// sum exceeds uniform [batch] of the total. Weights of 0 are never drawn.
func Draw(p, uniform *graph.Node) *graph.Node {
	sum := xla.RunningSum(p)
	total := graph.SliceAxis(sum, -1, graph.AxisRangeToEnd(p.Shape().Dim(-1)-1)) // [batch, 1]
	target := graph.Mul(graph.InsertAxes(uniform, -1), total)
	passed := graph.LogicalAnd(graph.GreaterThan(sum, target), graph.GreaterThan(p, graph.ZerosLike(p)))
	vocab := shapes.Make(dtypes.Int32, p.Shape().Dimensions...)
	g := p.Graph()
	score := graph.Where(passed, graph.Sub(graph.Scalar(g, dtypes.Int32, p.Shape().Dim(-1)), graph.Iota(g, vocab, 1)), graph.Zeros(g, vocab)) // first passed is highest
	first := graph.ArgMax(score, -1, dtypes.Int32)
	none := graph.Equal(graph.ReduceMax(score, -1), graph.ZerosLike(first))
	return graph.Where(none, graph.ArgMax(p, -1, dtypes.Int32), first)
}
