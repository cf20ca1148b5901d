package mamba2

import (
	"math"
	"math/rand/v2"

	"stuffed/pkg/lm"
)

// Model is a configuration with the methods of lm.Model. The other fields change how the state is kept.
type Model struct {
	Config
	Window    int  // see WithWindow; 0 none
	NormEvery int  // see WithNormLimit; 0 never
	Decimate  bool // see WithDecimation
}

// New checks the configuration.
func New(c Config) (Model, error) { return Model{Config: c}, c.Validate() }

var _ lm.Model = Model{}

// Name is the architecture's.
func (m Model) Name() string { return "mamba2" }

// Configuration is the model's, without what the variants change.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// Names of the parameters; layered ones stand for transformers' backbone.layers.N.<name>.
const (
	embedding = "backbone.embeddings.weight"
	finalNorm = "backbone.norm_f.weight"
	head      = "lm_head.weight"
	norm      = "norm.weight"
	inWeight  = "mixer.in_proj.weight"
	inBias    = "mixer.in_proj.bias"
	conv      = "mixer.conv1d.weight"
	convBias  = "mixer.conv1d.bias"
	dtBias    = "mixer.dt_bias"
	aLog      = "mixer.A_log"
	skip      = "mixer.D"
	gateNorm  = "mixer.norm.weight"
	outWeight = "mixer.out_proj.weight"
	outBias   = "mixer.out_proj.bias"
)

// Names of the parts of the state.
const (
	stateName  = "state"
	windowName = "conv_state"
)

// Parameters lists the tensors, layered ones as [layers, members, …], others as [members, …]. Weight decay is the
// official mask: matrices decay; norms, biases, dt_bias, A_log and D do not.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	var specs []lm.Spec
	const vector = lm.Role("")
	top := func(name string, role lm.Role, dims ...int) {
		specs = append(specs, lm.Spec{Name: name, Role: role, Dims: append([]int{members}, dims...), Decay: role != vector})
	}
	layered := func(use bool, name string, role lm.Role, dims ...int) {
		if use {
			specs = append(specs, lm.Spec{Name: name, Role: role, Dims: append([]int{c.Layers, members}, dims...), Layered: true, Decay: role != vector})
		}
	}
	top(embedding, lm.Embedding, c.Vocab, c.Width)
	layered(true, norm, vector, c.Width)
	layered(true, inWeight, lm.Matrix, c.projection(), c.Width)
	layered(c.UseBias, inBias, vector, c.projection())
	layered(true, conv, lm.Filter, c.Channels(), c.Kernel)
	layered(c.ConvBias, convBias, vector, c.Channels())
	layered(true, dtBias, vector, c.Heads())
	layered(true, aLog, vector, c.Heads())
	layered(true, skip, vector, c.Heads())
	layered(true, gateNorm, vector, c.Inner())
	layered(true, outWeight, lm.Matrix, c.Width, c.Inner())
	layered(c.UseBias, outBias, vector, c.Width)
	top(finalNorm, vector, c.Width)
	if !c.Tied {
		top(head, lm.Head, c.Vocab, c.Width)
	}
	return specs
}

// State lists "state" [layers, batch, heads, headDim, state] and "conv_state" [layers, batch, channels, kernel]: the
// last raw inputs of the convolution, oldest first, of which the newest kernel − 1 matter. A window adds to them.
func (m Model) State(batch int) []lm.Spec {
	c := m.Config
	specs := []lm.Spec{
		{Name: stateName, Dims: []int{c.Layers, batch, c.Heads(), c.HeadDim, c.State}, Layered: true, Role: lm.Recurrent,
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.HeadAxis, lm.Value, lm.Key}},
		{Name: windowName, Dims: []int{c.Layers, batch, c.Channels(), c.Kernel}, Layered: true, Role: lm.Convolution,
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Channel, lm.Tap}},
	}
	if m.Window > 0 {
		specs = append(specs, m.windowState(batch)...)
	}
	return specs
}

// Initial draws the parameters as the official code does: embeddings N(0, 0.02²); projections, head and convolution uniform
// ±1/√fan-in, the out-projection divided by √layers; A uniform in InitA; softplus(dt_bias) log-uniform in InitDelta
// above InitFloor; D and norms 1, other biases 0. With InitLinear projections and head are normal.
func (m Model) Initial(seed uint64) map[string][]float32 {
	c := m.Config
	values := map[string][]float32{}
	for i, s := range m.Parameters(1) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := make([]float32, s.Size())
		fill := func(f func() float64) {
			for j := range v {
				v[j] = float32(f())
			}
		}
		uniform := func(bound float64) func() float64 {
			return func() float64 { return (2*r.Float64() - 1) * bound }
		}
		linear := func(bound, std float64) func() float64 {
			if c.InitLinear > 0 {
				return func() float64 { return r.NormFloat64() * std }
			}
			return uniform(bound)
		}
		switch s.Name {
		case embedding:
			fill(func() float64 { return r.NormFloat64() * 0.02 })
		case inWeight, head:
			fill(linear(1/math.Sqrt(float64(c.Width)), c.InitLinear))
		case outWeight:
			fill(linear(1/math.Sqrt(float64(c.Inner()))/math.Sqrt(float64(c.Layers)), c.InitLinear/math.Sqrt(2*float64(c.Layers))))
		case conv, convBias:
			fill(uniform(1 / math.Sqrt(float64(c.Kernel))))
		case aLog:
			fill(func() float64 { return math.Log(c.InitA.Low + r.Float64()*(c.InitA.High-c.InitA.Low)) })
		case dtBias:
			lo, hi := math.Log(c.InitDelta.Low), math.Log(c.InitDelta.High)
			fill(func() float64 {
				dt := max(math.Exp(lo+r.Float64()*(hi-lo)), c.InitFloor)
				return dt + math.Log(-math.Expm1(-dt)) // inverse softplus
			})
		case skip, norm, gateNorm, finalNorm:
			fill(func() float64 { return 1 })
		}
		values[s.Name] = v
	}
	return values
}
