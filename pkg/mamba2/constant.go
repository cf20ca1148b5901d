package mamba2

import "math"

// ConstantGates are initial parameters with the same Δ for every token and log α = −Δ·a, except for heads that never forget
// (log α = 0 to the last bit of float32), of a model that reads nothing from its state, so that the loss cannot depend on it.
func (m Model) ConstantGates(seed uint64, delta, a float64, never func(layer, head int) bool) map[string][]float32 {
	values := m.Initial(seed)
	in, width := values[inWeight], m.Width
	rows := len(in) / m.Layers() / width
	for l := range m.Layers() {
		for h := range m.Heads() {
			clear(in[(l*rows+rows-m.Heads()+h)*width:][:width]) // dt does not depend on the token
			at := l*m.Heads() + h
			values[dtBias][at] = float32(delta + math.Log(-math.Expm1(-delta))) // inverse softplus
			values[aLog][at] = float32(math.Log(a))
			if never(l, h) {
				values[aLog][at] = -60 // Δ A below 1e-26
			}
		}
	}
	clear(values[outWeight])
	return values
}
