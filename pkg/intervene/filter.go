package intervene

import (
	"context"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
)

// filter is LongMamba's token filtering. A head is global when what it keeps of a token over T tokens is above the
// threshold; there the tokens below a Δ are skipped so that the others have, over the whole context, the sum of Δ of T tokens:
// a threshold for every length. As in the authors' code, the Δ of longer contexts are those of the calibration sequences.
func filter(ctx context.Context, b *Bench, s Suite, p []float64) (Method, error) {
	s.Split = "calibration"
	s.Sequences = min(s.Sequences, 16)
	deltas, logAlpha, err := b.deltas(ctx, s.Rows(s.TrainLength))
	if err != nil {
		return Method{}, err
	}
	m := Method{Lengths: map[int]Plan{}}
	for _, k := range s.Multiples {
		v := Intervention{Kind: "delta_filter"}
		for l := range deltas {
			for h := range deltas[l] {
				if math.Exp(logAlpha[l][h]) > p[0] {
					v.Heads = append(v.Heads, Head{l, h})
					v.Values = append(v.Values, threshold(deltas[l][h], k*s.TrainLength))
				}
			}
		}
		m.Lengths[k*s.TrainLength] = nil
		if len(v.Heads) > 0 && k > 1 {
			m.Lengths[k*s.TrainLength] = Plan{v}
		}
	}
	return m, nil
}

// threshold is the Δ below which tokens are skipped so that the others, among length tokens distributed as those of each
// sequence, have the sum of one sequence; the mean over the sequences.
func threshold(sequences [][]float64, length int) float64 {
	mean := 0.0
	for _, seq := range sequences {
		sorted := slices.Clone(seq)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		budget := 0.0
		for _, d := range sorted {
			budget += d
		}
		if length <= len(sorted) {
			return 0
		}
		sum, last := 0.0, 0.0
		for i := range length {
			last = sorted[i*len(sorted)/length]
			if sum += last; sum > budget {
				break
			}
		}
		mean += last / float64(len(sequences))
	}
	return mean
}

// deltas are Δ of every token of rows, [layer][head][row], and the mean over rows of the sum of log α, [layer][head].
func (b *Bench) deltas(ctx context.Context, rows [][]int32) (deltas [][][][]float64, logAlpha [][]float64, err error) {
	layers, heads := b.Model.Layers(), heads(b.Model)
	deltas, logAlpha = make([][][][]float64, layers), make([][]float64, layers)
	for l := range layers {
		deltas[l], logAlpha[l] = make([][][]float64, heads), make([]float64, heads)
		for h := range heads {
			deltas[l][h] = make([][]float64, len(rows))
		}
	}
	_, err = b.plain().Run(ctx, rows, nil, lm.Request{Probes: []string{lm.Delta, lm.LogAlpha}}, func(p lm.Piece) error {
		d, _, err := trace.PerHead(b.Model, lm.Delta, p)
		if err != nil {
			return err
		}
		a, _, err := trace.PerHead(b.Model, lm.LogAlpha, p)
		if err != nil {
			return err
		}
		for l := range layers {
			for r := range rows {
				for t := range p.Tokens {
					for h := range heads {
						at := ((l*len(rows)+r)*p.Padded+t)*heads + h
						deltas[l][h][r] = append(deltas[l][h][r], d[at])
						logAlpha[l][h] += a[at] / float64(len(rows))
					}
				}
			}
		}
		return nil
	})
	return deltas, logAlpha, err
}
