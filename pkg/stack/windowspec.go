package stack

import "stuffed/pkg/lm"

// WindowSpec is the spec of the last inputs of a short convolution, [layers, batch, channels, taps]; see Layer.Window.
func WindowSpec(name string, layers, batch, channels, taps int) lm.Spec {
	return lm.Spec{Name: name, Role: lm.Convolution, Layered: true, Dims: []int{layers, batch, channels, taps},
		Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel, lm.Tap}}
}

// WindowProbes are those of the windows of short convolutions.
func WindowProbes(windows []lm.Spec) (list []lm.Probe) {
	for _, w := range windows {
		list = append(list, lm.Probe{Name: lm.States + "/" + w.Name, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel, lm.Tap}, Does: "window of the convolution after some tokens"},
			lm.Probe{Name: lm.Inputs + "/" + w.Name, Axes: []lm.Axis{lm.Batch, lm.Token, lm.Channel}, Does: "inputs of the convolution, those of the carried window first"})
	}
	return list
}
