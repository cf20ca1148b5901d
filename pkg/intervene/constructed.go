package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/xla"
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

// Check builds the model and reads a constant prompt of length tokens; what the instruments see stands beside what is there,
// head by head: retention over trainLength tokens, and the norm of the last state. Columns layer, head, never (1 or 0),
// retention, retention_seen, norm, norm_seen.
func (c Constructed) Check(ctx context.Context, d *xla.Device, trainLength, length int) (*table.Table, error) {
	w, err := c.Weights()
	if err != nil {
		return nil, err
	}
	if trainLength < 1 || length < max(trainLength, 2*c.Config.Kernel) {
		return nil, fmt.Errorf("constructed model: %d tokens of prompt and %d of training; want the prompt at least as long, and %d", length, trainLength, 2*c.Config.Kernel)
	}
	r := lm.NewRunner(d, w)
	m := w.Model.(mamba2.Model)
	stats, err := InWindow(ctx, r, [][]int32{make([]int32, trainLength)})
	if err != nil {
		return nil, err
	}
	kept := stats.Retention(trainLength)
	var writes [2][][][]float64 // ‖x‖ and ‖B‖ of every token
	var norms [][]float64       // of the last state
	_, err = r.Run(ctx, [][]int32{make([]int32, length)}, nil, lm.Request{Probes: []string{"x", "B", "squares"}}, func(p lm.Piece) error {
		all := make([][]float64, 3)
		for i, name := range []string{"x", "B", "squares"} {
			if all[i], err = wideFloats(p.Probes[name]); err != nil {
				return err
			}
		}
		for i, units := range []int{m.Heads(), m.Groups} {
			if writes[i] == nil {
				writes[i] = make([][][]float64, m.Layers())
			}
			width := len(all[i]) / m.Layers() / p.Padded / units
			for l := range m.Layers() {
				for t := range p.Tokens {
					var of []float64
					for u := range units {
						of = append(of, norm(all[i][((l*p.Padded+t)*units+u)*width:][:width]))
					}
					writes[i][l] = append(writes[i][l], of)
				}
			}
		}
		norms = make([][]float64, m.Layers())
		for l := range norms {
			for h := range m.Heads() {
				norms[l] = append(norms[l], math.Sqrt(all[2][(l*p.Padded+p.Tokens-1)*m.Heads()+h]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var layer, head, never []int64
	var retention, seen, expected, norm []float64
	for l := range m.Layers() {
		for h := range m.Heads() {
			a, is := -c.Delta*c.A, int64(0)
			if slices.Contains(c.Never, Head{l, h}) {
				a, is = 0, 1
			}
			layer, head, never = append(layer, int64(l)), append(head, int64(h)), append(never, is)
			retention, seen = append(retention, math.Exp(a*float64(trainLength))), append(seen, kept[l][h])
			last := c.Delta * writes[0][l][length-1][h] * writes[1][l][length-1][h/(m.Heads()/m.Groups)]
			count := float64(length)
			if a < 0 {
				count = -math.Expm1(a*count) / -math.Expm1(a)
			}
			expected, norm = append(expected, last*count), append(norm, norms[l][h])
		}
	}
	return table.New().AddInt("layer", layer).AddInt("head", head).AddInt("never", never).AddFloat("retention", retention).
		AddFloat("retention_seen", seen).AddFloat("norm", expected).AddFloat("norm_seen", norm), nil
}
