// Package lm is the seam between architectures and everything that uses them: a model is a list of parameters, a
// state (a tree of tensors that goes in and comes out) and a graph
//
//	Forward(parameters, tokens, state, controls) → hidden, state, probes
//
// and scoring, training, tracing and generation see nothing else of it.
package lm

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Spec names a tensor of a model and gives its shape.
type Spec struct {
	Name    string
	Dims    []int
	Layered bool // the first axis is the layer
	Decay   bool // subject to weight decay
}

// Size is the number of entries.
func (s Spec) Size() int {
	n := 1
	for _, d := range s.Dims {
		n *= d
	}
	return n
}

// Call is one application of a model inside a graph.
type Call struct {
	Params   map[string]*Node // by Spec name; see Model.Parameters
	Tokens   *Node            // int32 [batch, tokens]; with replicas, batch = replicas × sequences of each
	State    []*Node          // in the order of Model.State, nil for zeros
	Fresh    bool             // in training: every row starts from zeros (State is nil) and Output.State is not asked for; it may be nil
	Controls map[string]*Node // named changes, first axis the layer; absent means neutral
	Length   *Node            // int32 scalar or nil: tokens from here on are padding and leave the state alone
	Segments *Node            // int32 [batch, tokens] or nil: the state restarts where the segment changes; 0 continues
	Offset   *Node            // int32 scalar or nil: position of the first token in its sequence, for controls; nil is 0
	Ends     *Node            // int32 [n] or nil: probe "states" and "conv_states" after these tokens
	Probes   []string         // quantities to return, stacked over layers; see the model for its names
	Reduce   *Reduction       // or nil: what of the probes is returned
	Options
}

// Options choose how a graph computes, not what.
type Options struct {
	Compute  dtypes.DType // of the products: InvalidDType (that of the parameters) or BFloat16
	Chunk    int          // tokens per chunk of the recurrence, 0 for the model's choice
	Replicas int          // models side by side in one graph, 0 for 1
	Unroll   bool         // one copy of the layer body per layer: the oracle of the layer loop
	Infer    bool         // no gradient will be asked for
	Save     string       // what the layer loop keeps for the backward: "none", "proj", "all"
	Per      int          // layers per turn of the layer loop, 0 for 1
	Plain    bool         // no fused kernels: their oracle on a GPU
	Narrow   bool         // logits in the dtype of the products; the loss is float32 all the same
}

// Output of a Call.
type Output struct {
	Hidden *Node            // [batch, tokens, width], after the final norm
	State  []*Node          // in the order of Model.State
	Probes map[string]*Node // [layers, …]
}

// Model is one architecture at one size.
type Model interface {
	Name() string
	Hash() string                                // of the configuration
	Vocab() int                                  // rows of the embedding
	Layers() int                                 // recurrent layers
	Parameters(replicas int) []Spec              // layered: [layers, replicas, …], others [replicas, …]
	State(batch int) []Spec                      // recurrent and convolution parts together
	Forward(c Call) Output                       // graph-building: panics on wrong shapes
	Logits(c Call, hidden *Node) *Node           // [batch, tokens, vocab]
	Initial(seed uint64) map[string][]float32    // one replica, by name, without the replica axis
	StateSize() (recurrent, withConvolution int) // scalars
}

// TokenLoss is −log p(label) for logits [..., vocab] and labels int32 [...], in float32 or wider.
func TokenLoss(logits, labels *Node) *Node {
	if logits.DType() == dtypes.BFloat16 {
		logits = ConvertDType(logits, dtypes.Float32)
	}
	top := StopGradient(ReduceAndKeep(logits, ReduceMax, -1))
	shifted := Sub(logits, top)
	vocab := logits.Shape().Dim(-1)
	hit := Equal(InsertAxes(labels, -1), Iota(logits.Graph(), shapeOf(labels, vocab), labels.Rank()))
	picked := ReduceSum(Where(hit, shifted, ZerosLike(shifted)), -1)
	return Sub(Log(ReduceSum(Exp(shifted), -1)), picked)
}
