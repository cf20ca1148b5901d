package fla

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// Project computes W x for the mixer's projection of that name and, with convolve, applies its short convolution, whose window is the state
// "conv_state.NAME", see [Windows].
func Project(l *stack.Layer, name string, convolve bool, x *Node) *Node {
	x = l.Affine("attn."+name+"_proj", x)
	if convolve {
		x = l.Window("conv_state."+name, x).Convolve(l.Param("attn."+name+"_conv1d.weight"), nil)
	}
	return x
}

// Windows are the specs of the windows of short convolutions, conv_state.NAME [layers, batch, channels, taps], by the names of their
// projections.
func Windows(layers, batch, taps int, names []string, channels ...int) (specs []lm.Spec) {
	for i, name := range names {
		specs = append(specs, stack.WindowSpec("conv_state."+name, layers, batch, channels[i], taps))
	}
	return specs
}
