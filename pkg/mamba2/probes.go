package mamba2

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
)

// seen is what a block computed for one layer and the probes read.
type seen struct {
	layer                    layerOf
	op                       recurrence.Operands
	mixed                    recurred
	window                   *Node // carried
	in                       entered
	y, normed, out, residual *Node // y with D x, [batch, tokens, inner]
}

// watch builds the probes of the call, or what the call's reduction makes of them; each is stacked over the layers. Where
// kernels follow the states they are "statistics", in place of the probes that the reduction names.
func (b *block) watch(s seen) (probes []*Node) {
	named := map[string]*Node{}
	var instead []string
	if b.reduce != nil && b.reduce.Statistics != nil && s.mixed.buckets != nil {
		if all := s.mixed.buckets(b.reduce.Every, s.layer.length); all != nil {
			named["statistics"], instead = all, b.reduce.Statistics
		}
	}
	for _, name := range b.probes {
		if slices.Contains(instead, name) {
			continue
		}
		named[name] = b.probe(name, s)
		probes = append(probes, named[name])
	}
	if b.reduce != nil {
		return b.reduce.Layer(named, s.layer.length)
	}
	return probes
}

// Probes of the window of the convolution.
const (
	windowsProbe = lm.States + "/" + windowName
	inputsProbe  = lm.Inputs + "/" + windowName
)

// Probes lists what can be watched.
func (m Model) Probes() []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	key := []lm.Axis{lm.Batch, lm.Token, lm.Group, lm.Key}
	value := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis, lm.Value}
	return []lm.Probe{
		{Name: lm.Delta, Axes: head, Does: "Δ after the limits"},
		{Name: lm.LogAlpha, Axes: head, Does: "log α = Δ A"},
		{Name: lm.Sum, Axes: head, Does: "sum of the entries of h_t"},
		{Name: lm.Squares, Axes: head, Does: "sum of their squares"},
		{Name: lm.States, Axes: []lm.Axis{lm.Position, lm.Batch, lm.HeadAxis, lm.Value, lm.Key}, Does: "h after some tokens"},
		{Name: windowsProbe, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel, lm.Tap}, Does: "window of the convolution after some tokens"},
		{Name: inputsProbe, Axes: wide, Does: "inputs of the convolution, those of the carried window first"},
		{Name: lm.Residual, Axes: wide, Does: "residual stream after the block"},
		{Name: "in_proj", Axes: wide, Does: "z, x, B, C and dt before convolution and gates"},
		{Name: "conv_act", Axes: wide, Does: "x, B and C after convolution and SiLU"},
		{Name: "ssd", Axes: value, Does: "y with D x"},
		{Name: "gated_norm", Axes: wide, Does: "output of the gated norm"},
		{Name: "mixer_out", Axes: wide, Does: "what the block adds to the residual stream"},
		{Name: lm.Values, Axes: value, Does: "x"},
		{Name: lm.Keys, Axes: key, Does: "B"},
		{Name: lm.Queries, Axes: key, Does: "C"},
	}
}

func (b *block) probe(name string, s seen) *Node {
	switch name {
	case "delta": // Δ after the limits, [layers, batch, tokens, heads]
		return s.op.Delta
	case "log_alpha":
		return s.op.LogAlpha
	case "sum", "squares": // of the entries of h_t
		sum, squares := s.mixed.moments()
		if name == "sum" {
			return sum
		}
		return squares
	case lm.States: // after the tokens of Ends, [layers, n, batch, heads, headDim, state]
		if b.reduce != nil && b.reduce.States != nil {
			if s.mixed.ends != nil && b.reduce.Every > 0 {
				if all := s.mixed.ends(b.reduce.Every, b.reduce.States); all != nil {
					return all
				}
			}
			return s.mixed.each(s.layer.ends, b.reduce.States)
		}
		return s.mixed.at(s.layer.ends)
	case windowsProbe:
		return s.in.windowsAt()
	case inputsProbe: // of the convolution, those of the carried window first, [layers, batch, kernel + tokens, channels]
		return Concatenate([]*Node{ConvertDType(TransposeAllAxes(s.window, 0, 2, 1), s.in.raw.DType()), s.in.raw}, 1)
	case "hidden": // residual stream after the block
		return s.residual
	case "in_proj":
		if b.compute == b.gate {
			return s.in.proj
		}
		return Concatenate([]*Node{ConvertDType(s.in.proj, b.gate), s.in.dt}, -1)
	case "conv_act":
		return s.in.conv
	case "ssd": // y with D x, [layers, batch, tokens, heads, headDim]
		return Reshape(s.y, b.batch, b.tokens, b.Heads(), b.HeadDim)
	case "gated_norm":
		return s.normed
	case "mixer_out":
		return s.out
	case "x":
		return s.op.X
	case "B":
		return s.op.B
	case "C":
		return s.op.C
	}
	panic(fmt.Errorf("mamba2: unknown probe %q", name))
}
