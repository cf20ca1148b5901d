package intervene

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// Statistics are means over the tokens of sequences no longer than the training length: what a quantity is held at when
// its part in a collapse is to be told.
type Statistics struct {
	Tokens   int         `json:"tokens"`
	Delta    [][]float64 `json:"delta"`     // [layer][head]
	LogAlpha [][]float64 `json:"log_alpha"` // [layer][head]
	Norm     [][]float64 `json:"norm"`      // [layer][head] largest norm of the state, mean over sequences
	X        [][]float64 `json:"x"`         // [layer][head × headDim]
	XNorm    [][]float64 `json:"x_norm"`    // [layer][head]
	B        [][]float64 `json:"b"`         // [layer][group × state]
	BNorm    [][]float64 `json:"b_norm"`    // [layer][group]
}

// InWindow measures them over rows.
func InWindow(ctx context.Context, r *lm.Runner, rows [][]int32) (*Statistics, error) {
	m, err := architecture(r.Weights)
	if err != nil {
		return nil, err
	}
	layers, batch := m.Layers(), len(rows)
	empty := func(n int) (out [][]float64) {
		for range layers {
			out = append(out, make([]float64, n))
		}
		return out
	}
	s := &Statistics{Delta: empty(m.Heads()), LogAlpha: empty(m.Heads()), Norm: empty(m.Heads()), X: empty(m.Inner()), XNorm: empty(m.Heads()),
		B: empty(m.Groups * m.Config.State), BNorm: empty(m.Groups)}
	top := empty(batch * m.Heads())
	_, err = r.Run(ctx, rows, nil, lm.Request{Probes: []string{"delta", "log_alpha", "squares", "x", "B"}}, func(p lm.Piece) error {
		s.Tokens += p.Tokens
		for name, to := range map[string][2][][]float64{"delta": {s.Delta}, "log_alpha": {s.LogAlpha}, "x": {s.X, s.XNorm}, "B": {s.B, s.BNorm}, "squares": {top}} {
			v, err := wideFloats(p.Probes[name])
			if err != nil {
				return err
			}
			width := len(v) / layers / batch / p.Padded
			for l := range layers {
				for b := range batch {
					for t := range p.Tokens {
						row := v[((l*batch+b)*p.Padded+t)*width:][:width]
						if name == "squares" {
							for i, x := range row {
								top[l][b*width+i] = max(top[l][b*width+i], x)
							}
							continue
						}
						for i, x := range row {
							to[0][l][i] += x
						}
						if to[1] != nil {
							units := len(to[1][l])
							for u := range units {
								to[1][l][u] += norm(row[u*width/units:][:width/units])
							}
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("in-window statistics: %w", err)
	}
	for _, all := range [][][]float64{s.Delta, s.LogAlpha, s.X, s.XNorm, s.B, s.BNorm} {
		for _, v := range all {
			for i := range v {
				v[i] /= float64(s.Tokens * batch)
			}
		}
	}
	for l := range layers {
		for i, x := range top[l] {
			s.Norm[l][i%m.Heads()] += math.Sqrt(x) / float64(batch)
		}
	}
	return s, nil
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func wideFloats(t *tensors.Tensor) ([]float64, error) {
	if t.DType().Size() == 8 {
		return tensors.CopyFlatData[float64](t)
	}
	narrow, err := lm.Floats(t)
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out, err
}

// architecture is the model of the weights, which must be a Mamba-2 of one replica.
func architecture(w *lm.Weights) (mamba2.Model, error) {
	m, ok := w.Model.(mamba2.Model)
	if !ok {
		return m, fmt.Errorf("interventions know mamba2, not %s", w.Model.Name())
	}
	if w.Replicas > 1 {
		return m, fmt.Errorf("%d replicas: intervene in one model at a time (lm.Weights.Select)", w.Replicas)
	}
	return m, nil
}

// Freeze holds Δ, B or x ("delta", "b", "x") at their in-window means, or B or x at their in-window mean norms ("b_norm",
// "x_norm"), from a position on. No heads means all; B is held in the layers of the heads.
func (s *Statistics) Freeze(m mamba2.Model, quantity string, heads []Head, from int) (Intervention, error) {
	of := map[string]struct {
		kind   string
		values [][]float64
	}{"delta": {"delta_freeze", s.Delta}, "b": {"b_freeze", s.B}, "x": {"x_freeze", s.X}, "b_norm": {"b_norm", s.BNorm}, "x_norm": {"x_norm", s.XNorm}}
	f, known := of[quantity]
	if !known {
		return Intervention{}, fmt.Errorf("freeze %q: choose delta, b, x, b_norm or x_norm", quantity)
	}
	v := Intervention{Kind: f.kind, From: from}
	if kinds[f.kind].unit == "group" {
		for _, h := range heads {
			if !slices.Contains(v.Layers, h.Layer) {
				v.Layers = append(v.Layers, h.Layer)
			}
		}
	} else {
		v.Heads = heads
	}
	for _, h := range v.heads(m) {
		if h.Layer < 0 || h.Layer >= len(f.values) {
			return v, fmt.Errorf("head %s does not exist; layers are 0 … %d", h, len(f.values)-1)
		}
		all := f.values[h.Layer]
		w := v.width(m)
		if (h.Head+1)*w > len(all) || h.Head < 0 {
			return v, fmt.Errorf("head %s does not exist; the layer has %d", h, len(all)/w)
		}
		v.Values = append(v.Values, all[h.Head*w:][:w]...)
	}
	return v, nil
}

// Retention is exp(T · mean log α) of every head, [layer][head]: what is left of a token after T tokens.
func (s *Statistics) Retention(length int) [][]float64 {
	out := make([][]float64, len(s.LogAlpha))
	for l, row := range s.LogAlpha {
		for _, v := range row {
			out[l] = append(out[l], math.Exp(v*float64(length)))
		}
	}
	return out
}

// Top are the n heads with the largest values, largest first.
func Top(values [][]float64, n int) []Head {
	var heads []Head
	for l, row := range values {
		for h := range row {
			heads = append(heads, Head{l, h})
		}
	}
	slices.SortStableFunc(heads, func(a, b Head) int {
		x, y := values[a.Layer][a.Head], values[b.Layer][b.Head]
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return heads[:max(0, min(n, len(heads)))]
}

// Random are n heads drawn without repetition from those not in avoid: the control of equal size. Where enough heads are
// left in the layers of avoid, every layer gives as many as it has in avoid.
func Random(m mamba2.Model, avoid []Head, n int, seed uint64) ([]Head, error) {
	r := rand.New(rand.NewPCG(seed, 0x4ead))
	left := make([][]Head, m.Layers())
	total := 0
	for l := range left {
		for h := range m.Heads() {
			if !slices.Contains(avoid, Head{l, h}) {
				left[l] = append(left[l], Head{l, h})
				total++
			}
		}
		r.Shuffle(len(left[l]), func(i, j int) { left[l][i], left[l][j] = left[l][j], left[l][i] })
	}
	if n < 1 || n > total {
		return nil, fmt.Errorf("%d random heads: %d are left outside the %d chosen", n, total, len(avoid))
	}
	want := make([]int, m.Layers())
	matched := len(avoid) == n
	for _, h := range avoid {
		want[h.Layer]++
		matched = matched && want[h.Layer] <= len(left[h.Layer])
	}
	var heads []Head
	if matched {
		for l, k := range want {
			heads = append(heads, left[l][:k]...)
		}
		return heads, nil
	}
	all := slices.Concat(left...)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n], nil
}
