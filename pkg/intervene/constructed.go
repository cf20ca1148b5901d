package intervene

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// Constructed is a model whose state is known in advance, to hold the instruments against. Δ is the same for every token;
// heads in Never keep everything (log α = 0 to the last bit of float32), the others forget with log α = −Δ·A; nothing is
// read from the state, so that the loss cannot degrade. On a constant prompt, once the convolution has seen Kernel tokens,
// with u = Δ x Bᵀ the same for all tokens,
//
//	‖h_t‖ = t ‖u‖ for heads in Never,   ‖h_t‖ = ‖u‖ (1 − α^t)/(1 − α) for the others
//
// from a zero state, up to what the first tokens wrote differently.
type Constructed struct {
	Config mamba2.Config
	Never  []Head
	Delta  float64
	A      float64 // above 0
	Seed   uint64
}

// Weights builds the model.
func (c Constructed) Weights() (*lm.Weights, error) {
	m, err := mamba2.New(c.Config)
	if err != nil {
		return nil, err
	}
	if !(c.Delta > 0) || !(c.A > 0) {
		return nil, fmt.Errorf("constructed model: delta %g and a %g must be above 0", c.Delta, c.A)
	}
	for _, h := range c.Never {
		if h.Layer < 0 || h.Layer >= m.Layers() || h.Head < 0 || h.Head >= m.Heads() {
			return nil, fmt.Errorf("constructed model: head %s does not exist; layers are 0 … %d, heads 0 … %d", h, m.Layers()-1, m.Heads()-1)
		}
	}
	values := m.Initial(c.Seed)
	in, width := values["mixer.in_proj.weight"], m.Width
	rows := len(in) / m.Layers() / width
	for l := range m.Layers() {
		for h := range m.Heads() {
			clear(in[(l*rows+rows-m.Heads()+h)*width:][:width]) // dt does not depend on the token
			at := l*m.Heads() + h
			values["mixer.dt_bias"][at] = float32(c.Delta + math.Log(-math.Expm1(-c.Delta))) // inverse softplus
			values["mixer.A_log"][at] = float32(math.Log(c.A))
			if slices.Contains(c.Never, Head{l, h}) {
				values["mixer.A_log"][at] = -60 // Δ A below 1e-26
			}
		}
	}
	clear(values["mixer.out_proj.weight"])
	return lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float32, error) { return values[s.Name], nil })
}
