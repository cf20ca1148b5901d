package intervene

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/pkg/lm"
)

// Statistics are means over the tokens of sequences no longer than the training length: the values at which a
// quantity is held to find out its part in a collapse.
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

// InWindow measures them over rows. What the model does not show stays empty.
func InWindow(ctx context.Context, r *lm.Runner, rows [][]int32) (*Statistics, error) {
	m := r.Weights.Model
	if r.Weights.Members > 1 {
		return nil, fmt.Errorf("in-window statistics: %d members; measure one model at a time (lm.Weights.Select)", r.Weights.Members)
	}
	s, top := &Statistics{}, [][]float64(nil)
	sums := map[string]sum{lm.Delta: {&s.Delta, nil}, lm.LogAlpha: {&s.LogAlpha, nil}, lm.Values: {&s.X, &s.XNorm}, lm.Keys: {&s.B, &s.BNorm}}
	var probes []string
	for _, name := range []string{lm.Delta, lm.LogAlpha, lm.Squares, lm.Values, lm.Keys} {
		if lm.HasProbe(m, name) {
			probes = append(probes, name)
		}
	}
	layers, batch := m.Layers(), len(rows)
	_, err := r.Run(ctx, rows, nil, lm.Request{Probes: probes}, func(p lm.Piece) error {
		s.Tokens += p.Tokens
		for name, t := range p.Probes {
			probe, err := lm.ProbeOf(m, name)
			if err != nil {
				return err
			}
			v, err := lm.Float64s(t)
			if err != nil {
				return err
			}
			units, entries := probe.Units(t.Shape().Dimensions)
			width := units * entries
			if name == lm.Squares && top == nil {
				top = rowsOf(layers, batch*width)
			}
			for l := range layers {
				for b := range batch {
					for t := range p.Tokens {
						row := v[((l*batch+b)*p.Padded+t)*width:][:width]
						if name == lm.Squares {
							for i, x := range row {
								top[l][b*width+i] = max(top[l][b*width+i], x)
							}
							continue
						}
						sums[name].add(layers, l, units, row)
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
	for _, row := range top {
		norms := make([]float64, len(row)/batch)
		for i, x := range row {
			norms[i%len(norms)] += math.Sqrt(x) / float64(batch)
		}
		s.Norm = append(s.Norm, norms)
	}
	return s, nil
}

// sum adds up a quantity, entry by entry or, without norms, as the mean of a unit; and the norms of its units.
type sum struct{ entries, norms *[][]float64 }

func (s sum) add(layers, layer, units int, row []float64) {
	size := len(row) / units
	if s.norms == nil { // one value of a head; of a finer decay its mean
		if *s.entries == nil {
			*s.entries = rowsOf(layers, units)
		}
		for i, x := range row {
			(*s.entries)[layer][i/size] += x / float64(size)
		}
		return
	}
	if *s.entries == nil {
		*s.entries, *s.norms = rowsOf(layers, len(row)), rowsOf(layers, units)
	}
	for i, x := range row {
		(*s.entries)[layer][i] += x
	}
	for u := range units {
		(*s.norms)[layer][u] += norm(row[u*size:][:size])
	}
}

func rowsOf(n, width int) (out [][]float64) {
	for range n {
		out = append(out, make([]float64, width))
	}
	return out
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// Freeze holds Δ, B or x ("delta", "b", "x") at their in-window means, or B or x at their in-window mean norms ("b_norm",
// "x_norm"), from a position on. No heads means all; B is held in the layers of the heads.
func (s *Statistics) Freeze(m lm.Model, quantity string, heads []Head, from int) (Intervention, error) {
	of := map[string]struct {
		kind   string
		values [][]float64
	}{"delta": {"delta_freeze", s.Delta}, "b": {"b_freeze", s.B}, "x": {"x_freeze", s.X}, "b_norm": {"b_norm", s.BNorm}, "x_norm": {"x_norm", s.XNorm}}
	f, known := of[quantity]
	if !known {
		return Intervention{}, fmt.Errorf("freeze %q: choose delta, b, x, b_norm or x_norm", quantity)
	}
	v := Intervention{Kind: f.kind, From: from}
	if _, err := lm.ControlOf(m, kinds[f.kind].control); err != nil {
		return v, fmt.Errorf("freeze %s: %w", quantity, err)
	}
	if v.grouped(m) {
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
func Random(m lm.Model, avoid []Head, n int, seed uint64) ([]Head, error) {
	r := rand.New(rand.NewPCG(seed, 0x4ead))
	left := make([][]Head, m.Layers())
	total := 0
	for l := range left {
		for h := range heads(m) {
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
	if matched {
		var drawn []Head
		for l, k := range want {
			drawn = append(drawn, left[l][:k]...)
		}
		return drawn, nil
	}
	all := slices.Concat(left...)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n], nil
}
