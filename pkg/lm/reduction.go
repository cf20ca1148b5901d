package lm

import (
	"github.com/gomlx/gomlx/core/graph"
)

// Reduction turns the probes of a layer into what leaves the layer loop, on the device, so that statistics of long
// sequences need neither memory nor transfers for every token.
type Reduction struct {
	Name       string                                                                // equal names mean equal functions
	Every      int                                                                   // Call.Ends: the last of every so many tokens, and the last token
	Outputs    []string                                                              // names in Output.Probes, each [layers, …]
	Layer      func(probes map[string]*graph.Node, length *graph.Node) []*graph.Node // one per output, for one layer; length may be nil
	Statistics []string                                                              // probes that may be left out where the model has "statistics" of buckets of Every tokens, see recurrence.Result
	States     func(h *graph.Node) *graph.Node                                       // of probe "states": [n, batch, heads, headDim, state] → [n, …]; nil for all
}

// ends are the positions int32 [⌈tokens/every⌉] that the probe "states" is read at.
func (r *Reduction) ends(tokens, length *graph.Node) *graph.Node {
	g, n := tokens.Graph(), tokens.Shape().Dim(1)
	count := (n + r.Every - 1) / r.Every
	last := make([]int32, count)
	for i := range last {
		last[i] = int32(min((i+1)*r.Every, n) - 1)
	}
	ends := graph.Const(g, last)
	if length != nil {
		ends = graph.Min(ends, graph.AddScalar(length, -1))
	}
	return ends
}
