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
	Run func(consts []*graph.Node, tokens *graph.Node, state []*graph.Node) (logits *graph.Node, next []*graph.Node)
}

// stepper is a model with such a form: Step is nil where a call has none, and Forward does it.
type stepper interface{ Step(call Call) *Step }

// decoder compiles n one-token steps as one loop on the device: parameters, last token [batch], state,
// [uniform numbers [n, batch]], position of the last token, [1/temperature, top-p], controls → tokens [n, batch], last token, state.
func (r *Runner) decoder(n int, sampled, nucleus bool, controls []string) *graph.Exec {
	key := fmt.Sprint("decode ", r.Options, n, sampled, nucleus, controls)
	m, specs, options := r.Weights.Model, r.Weights.Specs, r.Options
	states := len(m.State(1))
	if r.Device.Kind != "cuda" && m.Layers() <= unrolled {
		options.Unroll = true
	}
	return r.compiled.get(key, func() *graph.Exec {
		return graph.MustNewExec(r.Device.Backend, func(in []*graph.Node) []*graph.Node {
			parameters, rest := in[:len(specs)], in[len(specs):]
			carry, rest := rest[:1+states], rest[1+states:]
			var uniform []*graph.Node
			if sampled {
				uniform, rest = rest[:1], rest[1:]
			}
			var step *Step
			if m, ok := m.(stepper); ok && len(controls) == 0 {
				params, _ := r.Weights.Nodes(parameters)
				call := Call{Params: params, Tokens: graph.InsertAxes(carry[0], 1), Options: options}
				call.Infer = true
				if step = m.Step(call); step != nil {
					parameters = step.Consts
				}
			}
			count := len(parameters)
			consts := append(append([]*graph.Node{}, parameters...), rest...)
			loop := xla.Scan{N: n, Infer: true}
			last, tokens := loop.Run(carry, uniform, consts, func(it *xla.Iter, carry, uniform, consts []*graph.Node) (next, ys []*graph.Node) {
				at, rest := graph.Add(consts[count], it.I), consts[count+1:]
				var warmth, topP *graph.Node
				if sampled {
					warmth, topP, rest = rest[0], rest[1], rest[2:]
				}
				var logits *graph.Node
				var state []*graph.Node
				if step != nil {
					logits, state = step.Run(consts[:count], carry[0], carry[1:])
				} else {
					params, _ := r.Weights.Nodes(consts)
					call := Call{Params: params, Tokens: graph.InsertAxes(carry[0], 1), State: carry[1:], Offset: at, Options: options}
					call.Infer = true
					if len(controls) > 0 {
						call.Controls = map[string]*graph.Node{}
						for i, name := range controls {
							call.Controls[name] = rest[i]
						}
					}
					out := m.Forward(call)
					logits, state = graph.Squeeze(m.Logits(call, out.Hidden), 1), out.State
				}
				token := graph.ArgMax(logits, -1, dtypes.Int32)
				if sampled {
					below := graph.Sub(logits, graph.ReduceAndKeep(logits, graph.ReduceMax, -1)) // scaling it cannot overflow upwards
					p := graph.Softmax(graph.Mul(below, graph.ConvertDType(warmth, logits.DType())), -1)
					if nucleus {
						p = Nucleus(p, graph.ConvertDType(topP, p.DType()))
					}
					token = Draw(p, graph.ConvertDType(uniform[0], p.DType()))
				}
				return append([]*graph.Node{token}, state...), []*graph.Node{token}
			})
			return append([]*graph.Node{tokens[0]}, last...)
		})
	})
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
