package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/xla"
)

// Constructed is a model whose state is known in advance, to check the instruments against. Δ is the same for every token;
// heads in Never keep everything (log α = 0 to the last bit of float32), the others forget with log α = −Δ·A; nothing is
// read from the state, so that the loss cannot degrade. On a constant prompt, once the window of past inputs is full,
// with u = Δ x Bᵀ the same for all tokens,
//
//	‖h_t‖ = t ‖u‖ for heads in Never,   ‖h_t‖ = ‖u‖ (1 − α^t)/(1 − α) for the others
//
// from a zero state, up to what the first tokens wrote differently.
type Constructed struct {
	Config lm.Config
	Never  []Head
	Delta  float64
	A      float64 // above 0
	Seed   uint64
}

// constant is a model whose gates can be made the same for every token.
type constant interface {
	ConstantGates(seed uint64, delta, a float64, never func(layer, head int) bool) map[string][]float32
}

// Weights builds the model.
func (c Constructed) Weights() (*lm.Weights, error) {
	m, err := c.Config.New()
	if err != nil {
		return nil, err
	}
	gated, ok := m.(constant)
	if !ok {
		return nil, fmt.Errorf("constructed model: the gates of %s cannot be held constant by its parameters", m.Name())
	}
	if !(c.Delta > 0) || !(c.A > 0) {
		return nil, fmt.Errorf("constructed model: delta %g and a %g must be above 0", c.Delta, c.A)
	}
	for _, h := range c.Never {
		if h.Layer < 0 || h.Layer >= m.Layers() || h.Head < 0 || h.Head >= heads(m) {
			return nil, fmt.Errorf("constructed model: head %s does not exist; layers are 0 … %d, heads 0 … %d", h, m.Layers()-1, heads(m)-1)
		}
	}
	values := gated.ConstantGates(c.Seed, c.Delta, c.A, func(layer, head int) bool { return slices.Contains(c.Never, Head{layer, head}) })
	return lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float32, error) { return values[s.Name], nil })
}

// settled is the number of tokens after which what is written no longer depends on where the prompt began.
func settled(m lm.Model) int {
	n := 1
	for _, s := range m.State(1) {
		n = max(n, s.Dim(lm.Tap))
	}
	return 2 * n
}

// BuiltHead is a head of the constructed model: its true values beside what the instruments measure.
type BuiltHead struct {
	Layer         int     `parquet:"layer" doc:"layer, from 0"`
	Head          int     `parquet:"head" doc:"head, from 0"`
	Never         int     `parquet:"never" doc:"1 if it never forgets, otherwise 0"`
	Retention     float64 `parquet:"retention" doc:"share of a token left after T tokens, as constructed"`
	RetentionSeen float64 `parquet:"retention_seen" doc:"the same as measured"`
	Norm          float64 `parquet:"norm" doc:"norm of the last state, as constructed"`
	NormSeen      float64 `parquet:"norm_seen" doc:"the same as measured"`
}

// Check builds the model, reads a constant prompt of length tokens and makes a table of BuiltHead, with T = trainLength.
func (c Constructed) Check(ctx context.Context, d *xla.Device, trainLength, length int) (*table.Table, error) {
	w, err := c.Weights()
	if err != nil {
		return nil, err
	}
	m := w.Model
	if trainLength < 1 || length < max(trainLength, settled(m)) {
		return nil, fmt.Errorf("constructed model: %d tokens of prompt and %d of training; want the prompt at least as long, and %d", length, trainLength, settled(m))
	}
	r := lm.NewRunner(d, w)
	stats, err := InWindow(ctx, r, [][]int32{make([]int32, trainLength)})
	if err != nil {
		return nil, err
	}
	kept := stats.Retention(trainLength)
	var writes [2][][][]float64 // ‖x‖ and ‖B‖ of every token
	var norms [][]float64       // of the last state
	groups := 1
	_, err = r.Run(ctx, [][]int32{make([]int32, length)}, nil, lm.Request{Probes: []string{lm.Values, lm.Keys, lm.Squares}}, func(p lm.Piece) error {
		all := make([][]float64, 3)
		units := make([]int, 3)
		for i, name := range []string{lm.Values, lm.Keys, lm.Squares} {
			probe, err := lm.ProbeOf(m, name)
			if err != nil {
				return err
			}
			if all[i], err = lm.Float64s(p.Probes[name]); err != nil {
				return err
			}
			units[i], _ = probe.Units(p.Probes[name].Shape().Dimensions)
		}
		groups = units[1]
		for i, units := range units[:2] {
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
			for h := range heads(m) {
				norms[l] = append(norms[l], math.Sqrt(all[2][(l*p.Padded+p.Tokens-1)*heads(m)+h]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []BuiltHead
	for l := range m.Layers() {
		for h := range heads(m) {
			a, never := -c.Delta*c.A, 0
			if slices.Contains(c.Never, Head{l, h}) {
				a, never = 0, 1
			}
			last := c.Delta * writes[0][l][length-1][h] * writes[1][l][length-1][h/(heads(m)/groups)]
			count := float64(length)
			if a < 0 {
				count = -math.Expm1(a*count) / -math.Expm1(a)
			}
			rows = append(rows, BuiltHead{l, h, never, math.Exp(a * float64(trainLength)), kept[l][h], last * count, norms[l][h]})
		}
	}
	return table.Of(rows), nil
}
