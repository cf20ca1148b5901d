package mamba1

import (
	"fmt"
	"math"
	"math/rand/v2"

	"stuffed/pkg/lm"
)

// Names of the parameters outside the layers, and of the states.
const (
	embedding  = "backbone.embeddings.weight"
	finalNorm  = "backbone.norm_f.weight"
	head       = "lm_head.weight"
	stateName  = "state"
	windowName = "conv_state"
	byChannel  = lm.Delta + "/channel" // probe of Δ
)

// Parameters lists the tensors under their published names, without the prefix of the layer. Weight decay is the official
// mask: matrices decay; norms, biases, A_log and D do not.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	var specs []lm.Spec
	top := func(name string, role lm.Role, dims ...int) {
		specs = append(specs, lm.Spec{Name: name, Role: role, Dims: append([]int{members}, dims...), Decay: role != ""})
	}
	layered := func(use bool, name string, role lm.Role, dims ...int) {
		if use {
			specs = append(specs, lm.Spec{Name: name, Role: role, Layered: true, Dims: append([]int{c.Layers, members}, dims...), Decay: role != ""})
		}
	}
	inner, rank := c.Inner(), c.DeltaRank()
	top(embedding, lm.Embedding, c.Vocab, c.Width)
	layered(true, "norm.weight", "", c.Width)
	layered(true, "mixer.in_proj.weight", lm.Matrix, 2*inner, c.Width)
	layered(c.UseBias, "mixer.in_proj.bias", "", 2*inner)
	layered(true, "mixer.conv1d.weight", lm.Filter, inner, c.Kernel)
	layered(c.ConvBias, "mixer.conv1d.bias", "", inner)
	layered(true, "mixer.x_proj.weight", lm.Matrix, rank+2*c.State, inner)
	layered(true, "mixer.dt_proj.weight", lm.Matrix, inner, rank)
	layered(true, "mixer.dt_proj.bias", "", inner)
	layered(true, "mixer.A_log", "", inner, c.State)
	layered(true, "mixer.D", "", inner)
	layered(true, "mixer.out_proj.weight", lm.Matrix, c.Width, inner)
	layered(c.UseBias, "mixer.out_proj.bias", "", c.Width)
	top(finalNorm, "", c.Width)
	if !c.Tied {
		top(head, lm.Head, c.Vocab, c.Width)
	}
	return specs
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	if dims = s.Dims[2:]; s.Role == lm.Filter {
		dims = []int{dims[0], 1, dims[1]}
	}
	return fmt.Sprintf("backbone.layers.%d.%s", layer, s.Name), dims
}

// State lists "state" [layers, batch, channels, state] and "conv_state" [layers, batch, channels, kernel]: the last raw inputs of
// the convolution, oldest first, of which the newest kernel − 1 matter.
func (m Model) State(batch int) []lm.Spec {
	c := m.Config
	return []lm.Spec{
		{Name: stateName, Role: lm.Recurrent, Layered: true, Dims: []int{c.Layers, batch, c.Inner(), c.State},
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel, lm.Key}},
		{Name: windowName, Role: lm.Convolution, Layered: true, Dims: []int{c.Layers, batch, c.Inner(), c.Kernel},
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel, lm.Tap}},
	}
}

// OneWay says why the model has no sliding-window variant.
func (Model) OneWay() string {
	return "its state is a weighted sum, but one whose decay differs by channel and key, so that only states of all tokens of a window could take old ones away (method 3), and these are not kept"
}

// Controls lists the quantities that interventions can change; all channels of a layer count as one head.
func (m Model) Controls() []lm.Control {
	list := []lm.Control{
		{Name: "delta_scale", Neutral: 1, Does: "factor of Δ"},
		{Name: "delta_min", Neutral: math.Inf(-1), Does: "lower bound of Δ"},
		{Name: "delta_max", Neutral: math.Inf(1), Does: "upper bound of Δ"},
		{Name: "a_scale", Neutral: 1, Does: "factor of A, and so of the log of the decay"},
		{Name: "b_scale", Neutral: 1, Does: "factor of B, and so of what is written"},
		{Name: "y_scale", Neutral: 1, Does: "factor of what is read, D x included; 0 ablates the layer's recurrence"},
	}
	for i := range list {
		list[i].Dims, list[i].Axes = []int{1}, []lm.Axis{lm.HeadAxis}
	}
	return list
}

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	one := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	key := []lm.Axis{lm.Batch, lm.Token, lm.Group, lm.Key}
	return []lm.Probe{
		{Name: lm.Delta, Axes: one, Does: "Δ, mean over the channels"},
		{Name: byChannel, Axes: wide, Does: "Δ of each channel"},
		{Name: lm.LogAlpha, Axes: one, Does: "log of the decay Δ A, mean over channels and states"},
		{Name: lm.Sum, Axes: one, Does: "sum of the entries of the state of all channels"},
		{Name: lm.Squares, Axes: one, Does: "sum of their squares"},
		{Name: lm.States, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel, lm.Key}, Does: "state after some tokens"},
		{Name: lm.States + "/" + windowName, Axes: []lm.Axis{lm.Position, lm.Batch, lm.Channel, lm.Tap}, Does: "window of the convolution after some tokens"},
		{Name: lm.Inputs + "/" + windowName, Axes: wide, Does: "inputs of the convolution, those of the carried window first"},
		{Name: lm.Values, Axes: []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis, lm.Value}, Does: "x"},
		{Name: lm.Keys, Axes: key, Does: "B"},
		{Name: lm.Queries, Axes: key, Does: "C"},
		{Name: "x_proj", Axes: wide, Does: "Δ, B and C before softplus"},
		{Name: "conv_act", Axes: wide, Does: "x after convolution and SiLU"},
		{Name: "ssm", Axes: wide, Does: "what is read, with D x"},
		{Name: "mixer_out", Axes: wide, Does: "what the block adds to the residual stream"},
		{Name: lm.Residual, Axes: wide, Does: "residual stream after the block"},
	}
}

// Initial draws the parameters as the official code does: embeddings N(0, 0.02²); projections, head and convolution uniform
// ±1/√fan-in, the out-projection divided by √layers; W_Δ uniform ±1/√rank; softplus(b) log-uniform in [DeltaMin, DeltaMax]
// above Floor; A = −1 … −state; D and norms 1, other biases 0.
func (m Model) Initial(seed uint64) map[string][]float32 {
	c := m.Config
	values := map[string][]float32{}
	for i, s := range m.Parameters(1) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := make([]float32, s.Size())
		uniform := func(bound float64) float64 { return (2*r.Float64() - 1) * bound }
		for j := range v {
			var x float64
			switch s.Name {
			case embedding:
				x = r.NormFloat64() * 0.02
			case "mixer.in_proj.weight", head:
				x = uniform(1 / math.Sqrt(float64(c.Width)))
			case "mixer.x_proj.weight":
				x = uniform(1 / math.Sqrt(float64(c.Inner())))
			case "mixer.out_proj.weight":
				x = uniform(1 / math.Sqrt(float64(c.Inner())) / math.Sqrt(float64(c.Layers)))
			case "mixer.conv1d.weight", "mixer.conv1d.bias":
				x = uniform(1 / math.Sqrt(float64(c.Kernel)))
			case "mixer.dt_proj.weight":
				x = uniform(1 / math.Sqrt(float64(c.DeltaRank())))
			case "mixer.dt_proj.bias":
				dt := max(math.Exp(math.Log(c.DeltaMin)+r.Float64()*(math.Log(c.DeltaMax)-math.Log(c.DeltaMin))), c.Floor)
				x = dt + math.Log(-math.Expm1(-dt)) // inverse softplus
			case "mixer.A_log":
				x = math.Log(float64(j%c.State + 1))
			case "mixer.D", "norm.weight", finalNorm:
				x = 1
			}
			v[j] = float32(x)
		}
		values[s.Name] = v
	}
	return values
}
