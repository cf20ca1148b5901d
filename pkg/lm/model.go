// Package lm is the seam between architectures and everything that uses them: a model is a list of parameters, a state of
// named tensors that goes in and comes out, named controls, named probes, and a graph
//
//	Forward(parameters, tokens, state, controls) → hidden, state, probes
//
// and training, scoring, generation, tracing, interventions and studies see nothing else of it.
//
// # How an architecture enters
//
// Its operator, if it is a new kind, is a package of its own below recurrence, with a float64 loop beside it. The
// architecture is a package with
//
//   - a Config: a struct with JSON names that implements [Config]. A field that is added later carries the tag
//     hash:"unless-default" (see package identity);
//   - a model that implements [Model]. Package stack does all of Forward but the block: it loops over the layers, hands each its
//     parameters and its part of the state by name, applies controls, collects probes, and has linear maps for several members,
//     norms, token shift and short convolution;
//   - specs that say what each tensor is: [Spec.Role], [Spec.Axes], and [Spec.Decay] for parameters that AdamW decays. Axes of a
//     recurrent state are Layer, Batch, HeadAxis (or none), then Value and Key in the order of the architecture's memory;
//   - probes: those of the standard names ([Sum], [Squares], [States], [LogAlpha], [Delta], [Values], [Keys], [Queries]) that
//     make sense for it and any others. Log α may be per head, per head and key, per channel and key, or absent;
//   - controls: inputs of the graph that change what it computes (delta_scale, log_alpha_shift, y_scale, …), under the names that
//     other architectures use for the same change; an architecture lists those that it has;
//   - an init function that calls [Register], and a line in package arch, which makes the program load it.
//
// Checkpoints need nothing: a model is saved under the names of its parameters. A published layout is added in package models.
// Tests compare the model with a loop in float64, gradients included, split sequences anywhere, pack documents, and train two
// members side by side; package arch/archtest does that for any model.
package lm

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Call is one application of a model inside a graph.
type Call struct {
	Params    map[string]*graph.Node // by Spec name; see Model.Parameters
	Tokens    *graph.Node            // int32 [batch, tokens]; with members, batch = members × sequences of each
	State     map[string]*graph.Node // by the names of Model.State, nil for zeros
	ZeroState bool                   // in training: every row starts from zeros (State is nil) and Output.State is not asked for; it may be nil
	Controls  map[string]*graph.Node // named changes, first axis the layer; absent means neutral
	Length    *graph.Node            // int32 scalar or nil: tokens from here on are padding and leave the state alone
	Segments  *graph.Node            // int32 [batch, tokens] or nil: the state restarts where the segment changes; 0 continues
	Offset    *graph.Node            // int32 scalar or nil: position of the first token in its sequence, for controls; nil is 0
	Ends      *graph.Node            // int32 [n] or nil: probes of states are after these tokens
	Probes    []string               // quantities to return, stacked over layers; see Model.Probes
	Reduce    *Reduction             // or nil: what of the probes is returned
	Options
}

// Options choose how a graph computes, not what.
type Options struct {
	Compute            dtypes.DType // of the products: InvalidDType (that of the parameters) or BFloat16
	Chunk              int          // tokens per chunk of the recurrence, 0 for the model's choice
	Members            int          // models side by side in one graph, 0 for 1
	Unroll             bool         // one copy of the layer body per layer: the oracle of the layer loop
	Infer              bool         // no gradient will be asked for
	Save               string       // activations that the layer loop keeps for the backward pass: "none", "proj", "all"; the others are computed again
	LayersPerIteration int          // layers in one iteration of the layer loop, 0 for 1
	NoKernels          bool         // no fused kernels: their oracle on a GPU
	LogitsBF16         bool         // logits in the dtype of the products; the loss is float32 all the same
}

// Output of a Call.
type Output struct {
	Hidden *graph.Node            // [batch, tokens, width], after the final norm
	State  map[string]*graph.Node // by the names of Model.State
	Probes map[string]*graph.Node // [layers, …]
}

// Model is one architecture at one size.
type Model interface {
	Name() string // of the architecture
	Hash() string // of the configuration
	Configuration() Config
	Vocab() int                                    // rows of the embedding
	Layers() int                                   // that have a state
	Parameters(members int) []Spec                 // layered: [layers, members, …], others [members, …]
	State(batch int) []Spec                        // all that is carried, [layers, batch, …]
	Controls() []Control                           // in the order in which they act
	Probes() []Probe                               //
	Forward(c Call) Output                         // graph-building: panics on wrong shapes
	Logits(c Call, hidden *graph.Node) *graph.Node // [batch, tokens, vocab]; the call may hold parameters without layers alone
	Initial(seed uint64) map[string][]float32      // one member, by name, without the member axis
}

// Summarised is a model whose recurrent state is a means to something else, such as numerator and denominator of an average. Sums,
// squares and objectives are of that, and the probe Summary shows it.
type Summarised interface {
	Summary(state map[string]*graph.Node) *graph.Node
}

// Variant is a way to keep a trained model's state other than its own.
type Variant struct {
	Window    int  // the layers see what so many last tokens wrote, 0 for all
	NormEvery int  // the control norm_limit acts after every so many tokens, 0 for never
	Decimate  bool // the control keep says how many tokens of a call go on from a layer
}

// VariantOf returns the model with its state kept in another way; its parameters are the same. The zero variant is the model. A
// model that has no variants may say why by a method OneWay.
func VariantOf(m Model, v Variant) (Model, error) {
	if v == (Variant{}) {
		return m, nil
	}
	varied, ok := m.(interface{ Variant(Variant) (Model, error) })
	if !ok {
		why := "it has neither a sliding window nor a limited norm nor decimation"
		if says, ok := m.(interface{ OneWay() string }); ok {
			why = says.OneWay()
		}
		return nil, fmt.Errorf("%s keeps its state in one way only: %s", m.Name(), why)
	}
	return varied.Variant(v)
}

// TokenLoss is −log p(label) for logits [..., vocab] and labels int32 [...], in float32 or wider.
func TokenLoss(logits, labels *graph.Node) *graph.Node {
	if logits.DType() == dtypes.BFloat16 {
		logits = graph.ConvertDType(logits, dtypes.Float32)
	}
	top := graph.StopGradient(graph.ReduceAndKeep(logits, graph.ReduceMax, -1))
	shifted := graph.Sub(logits, top)
	vocab := logits.Shape().Dim(-1)
	hit := graph.Equal(graph.InsertAxes(labels, -1), graph.Iota(logits.Graph(), shapeOf(labels, vocab), labels.Rank()))
	picked := graph.ReduceSum(graph.Where(hit, shifted, graph.ZerosLike(shifted)), -1)
	return graph.Sub(graph.Log(graph.ReduceSum(graph.Exp(shifted), -1)), picked)
}
