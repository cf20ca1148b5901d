// Package toy is an architecture for tests: what uses models through package lm must run it as it runs any other. It differs from
// Mamba-2 where it can: a decay per key channel, a token shift instead of a convolution, keys before values, and two recurrent
// tensors per layer, S and a normaliser z,
//
//	S_t = diag(α_t) S_{t−1} + k_t v_tᵀ    z_t = diag(α_t) z_{t−1} + k_t    y_t = S_tᵀ q_t / (1 + |z_t·q_t|)
//
// with log α = −softplus(W_a u) and q, k, v, α of u = x_t + μ (x_{t−1} − x_t). Every S_t is formed: it is for short sequences.
package toy

import (
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// Config of one model.
type Config struct {
	Layers int `json:"layers"`
	Width  int `json:"width"`
	Heads  int `json:"heads"`
	Keys   int `json:"keys"`   // of a head
	Values int `json:"values"` // of a head
	Vocab  int `json:"vocab"`
}

// Default returns a tiny model.
func Default() Config { return Config{Layers: 2, Width: 12, Heads: 2, Keys: 4, Values: 3} }

func init() {
	lm.Register(lm.Architecture{Name: "toy", About: "for tests", Default: func() lm.Config { return Default() }, Presets: []string{"toy"},
		Preset: func(string) (lm.Config, error) { return Default().WithVocab(272), nil }})
}

// Architecture is the architecture's name in the registry.
func (c Config) Architecture() string { return "toy" }

// Hash identifies the configuration.
func (c Config) Hash() string { return identity.Hash(c, Default()) }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	for name, v := range map[string]int{"layers": c.Layers, "width": c.Width, "heads": c.Heads, "keys": c.Keys, "values": c.Values, "vocab": c.Vocab} {
		if v < 1 || v > 1<<20 {
			return fmt.Errorf("config: %s = %d is outside 1 … %d", name, v, 1<<20)
		}
	}
	return nil
}

// Sizes returns the sizes that tables and reports show.
func (c Config) Sizes() lm.Sizes {
	recurrent := c.Layers * c.Heads * c.Keys * (c.Values + 1)
	return lm.Sizes{Layers: c.Layers, Width: c.Width, Vocab: c.Vocab, Heads: c.Heads, State: c.Keys, Recurrent: recurrent, Carried: recurrent + c.Layers*c.Width}
}

// WithVocab returns the configuration with another vocabulary size.
func (c Config) WithVocab(rows int) lm.Config {
	c.Vocab = rows
	return c
}

// New returns the model, or the error of Validate.
func (c Config) New() (lm.Model, error) { return Model{c}, c.Validate() }

// Model implements lm.Model for a configuration.
type Model struct{ Config }

// Name is the architecture's name in the registry.
func (m Model) Name() string { return m.Architecture() }

// Configuration returns the model's Config.
func (m Model) Configuration() lm.Config { return m.Config }

// Vocab is the number of rows of the embedding.
func (m Model) Vocab() int { return m.Config.Vocab }

// Layers is the number of blocks.
func (m Model) Layers() int { return m.Config.Layers }

// Parameters lists the tensors.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	layered := func(name string, role lm.Role, dims ...int) lm.Spec {
		return lm.Spec{Name: name, Role: role, Dims: append([]int{c.Layers, members}, dims...), Layered: true, Decay: role == lm.Matrix}
	}
	return []lm.Spec{
		{Name: "embedding", Role: lm.Embedding, Dims: []int{members, c.Vocab, c.Width}, Decay: true},
		layered("norm", "", c.Width), layered("mix", "", c.Width),
		layered("q", lm.Matrix, c.Heads*c.Keys, c.Width), layered("k", lm.Matrix, c.Heads*c.Keys, c.Width),
		layered("v", lm.Matrix, c.Heads*c.Values, c.Width), layered("a", lm.Matrix, c.Heads*c.Keys, c.Width),
		layered("out", lm.Matrix, c.Width, c.Heads*c.Values),
		{Name: "last_norm", Dims: []int{members, c.Width}},
	}
}

// State lists S, z and the last input of the token shift.
func (m Model) State(batch int) []lm.Spec {
	c := m.Config
	of := func(name string, role lm.Role, axes []lm.Axis, dims ...int) lm.Spec {
		return lm.Spec{Name: name, Role: role, Axes: append([]lm.Axis{lm.Layer, lm.Batch}, axes...), Dims: append([]int{c.Layers, batch}, dims...), Layered: true}
	}
	return []lm.Spec{
		of("previous", lm.Shift, []lm.Axis{lm.Channel}, c.Width),
		of("memory", lm.Recurrent, []lm.Axis{lm.HeadAxis, lm.Key, lm.Value}, c.Heads, c.Keys, c.Values),
		of("normaliser", lm.Recurrent, []lm.Axis{lm.HeadAxis, lm.Key}, c.Heads, c.Keys),
	}
}

// Controls lists the quantities that interventions can change.
func (m Model) Controls() []lm.Control {
	of := func(name string, neutral float64, does string) lm.Control {
		return lm.Control{Name: name, Dims: []int{m.Heads}, Axes: []lm.Axis{lm.HeadAxis}, Neutral: neutral, Does: does}
	}
	return []lm.Control{of("a_scale", 1, "factor of log α"), of("log_alpha_shift", math.Copysign(0, -1), "added to log α"),
		of("y_scale", 1, "factor of the head's output; 0 ablates the head")}
}

// Probes lists the activations that can be recorded.
func (m Model) Probes() []lm.Probe {
	head := []lm.Axis{lm.Batch, lm.Token, lm.HeadAxis}
	key, value := append(head[:3:3], lm.Key), append(head[:3:3], lm.Value)
	all := []lm.Probe{{Name: lm.LogAlpha, Axes: key}, {Name: lm.Values, Axes: value}, {Name: lm.Keys, Axes: key}, {Name: lm.Queries, Axes: key},
		{Name: lm.Residual, Axes: []lm.Axis{lm.Batch, lm.Token, lm.Channel}}, {Name: lm.Of(lm.Inputs, m, "previous"), Axes: []lm.Axis{lm.Batch, lm.Token, lm.Channel}}}
	for _, s := range m.State(1) {
		all = append(all, lm.Probe{Name: lm.Of(lm.States, m, s.Name), Axes: append([]lm.Axis{lm.Position, lm.Batch}, s.Axes[2:]...)})
		if s.Role == lm.Recurrent {
			all = append(all, lm.Probe{Name: lm.Of(lm.Sum, m, s.Name), Axes: head}, lm.Probe{Name: lm.Of(lm.Squares, m, s.Name), Axes: head})
		}
	}
	return all
}

// Initial draws the parameters.
func (m Model) Initial(seed uint64) map[string][]float32 {
	values := map[string][]float32{}
	for i, s := range m.Parameters(1) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := make([]float32, s.Size())
		for j := range v {
			switch s.Role {
			case lm.Matrix:
				v[j] = float32(r.NormFloat64() / math.Sqrt(float64(s.Dims[3])))
			case lm.Embedding:
				v[j] = float32(r.NormFloat64() * 0.02)
			default:
				v[j] = 1
			}
		}
		values[s.Name] = v
	}
	return values
}

func (m Model) layers() stack.Layers {
	return stack.Layers{Model: m, Block: m.block, Leave: func(b *stack.Batch, r *Node) *Node {
		return stack.RMSNorm(r, b.PerRow(b.Params["last_norm"], 1), 1e-5)
	}}
}

// Forward builds the graph of the model.
func (m Model) Forward(call lm.Call) lm.Output { return m.layers().Forward(call) }

// Logits is hidden · Eᵀ.
func (m Model) Logits(call lm.Call, hidden *Node) *Node { return m.layers().Logits(call, hidden) }
