package report

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"stuffed/pkg/collapse"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Kinds is what the detector says about one model on several kinds of sequences.
type Kinds struct {
	Verdicts *table.Table // kind, explosion (0 or 1), explosion_onset, heads (share that explodes), strict, paper, perplexity (0 or 1), degradation_onset, level (nats in the window), worst (nats, largest mean of a bucket beyond it), first
	Curves   *table.Table // kind, position, loss (nats), growth (over heads the largest of norm by its largest value in the window)
	Seen     []*Seen
}

// LookAtKinds asks the question (whose source is replaced) for each kind of sequences. Onsets that are not reached are
// missing.
func LookAtKinds(ctx context.Context, q Question, kinds []eval.Labelled, root string) (*Kinds, error) {
	all := &Kinds{Verdicts: table.New(), Curves: table.New()}
	q.open = sync.OnceValues(func() (*models.Opened, error) { return models.Open(q.Model, q.Backend, "") })
	for _, k := range kinds {
		q.Source = trace.Source{Texts: k.Texts}
		seen, err := Look(ctx, q, root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Label, err)
		}
		curve, err := growth(seen.States, seen.Losses, seen.TrainLength)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Label, err)
		}
		if err := all.Verdicts.Append(verdictRow(k.Label, seen.Verdict, curve, seen.TrainLength)); err != nil {
			return nil, err
		}
		if err := all.Curves.Append(curve.AddText("kind", slices.Repeat([]string{k.Label}, curve.Rows()))); err != nil {
			return nil, err
		}
		all.Seen = append(all.Seen, seen)
	}
	return all, nil
}

func verdictRow(kind string, v *collapse.Verdict, curve *table.Table, trainLength int) *table.Table {
	flag := map[bool]int64{true: 1}
	onset := func(at *int) []float64 {
		if at == nil {
			return []float64{math.NaN()}
		}
		return []float64{float64(*at)}
	}
	worst := math.Inf(-1)
	for i, at := range curve.Columns[0].Ints {
		if int(at) >= trainLength {
			worst = max(worst, curve.Columns[1].Floats[i])
		}
	}
	return table.New().AddText("kind", []string{kind}).AddInt("explosion", []int64{flag[v.Explosion]}).AddFloat("explosion_onset", onset(v.ExplosionAt)).
		AddFloat("heads", []float64{v.Details.HeadsShare}).AddInt("strict", []int64{flag[v.Strict]}).AddInt("paper", []int64{flag[v.Paper]}).
		AddInt("perplexity", []int64{flag[v.Perplexity]}).AddFloat("degradation_onset", onset(v.DegradationAt)).
		AddFloat("level", []float64{v.Details.Level}).AddFloat("worst", []float64{worst}).AddText("first", []string{v.First})
}

// growth joins mean loss and, over layers and heads, the largest growth of the state norm: position, loss, growth.
func growth(states, losses *table.Table, trainLength int) (*table.Table, error) {
	loss, err := byPosition(losses, "loss", func(int) string { return "" })
	if err != nil {
		return nil, err
	}
	layer, err := states.Int("layer")
	if err != nil {
		return nil, err
	}
	head, err := states.Int("head")
	if err != nil {
		return nil, err
	}
	norm, err := byPosition(states, "norm", func(row int) string { return fmt.Sprint(layer[row], " ", head[row]) })
	if err != nil {
		return nil, err
	}
	largest := map[int64]float64{}
	for _, of := range norm {
		inside := 0.0
		for at, v := range of {
			if at < int64(trainLength) {
				inside = max(inside, v)
			}
		}
		for at, v := range of {
			if inside > 0 {
				largest[at] = max(largest[at], v/inside)
			}
		}
	}
	var position []int64
	var mean, grown []float64
	for at := range loss[""] {
		position = append(position, at)
	}
	slices.Sort(position)
	for _, at := range position {
		mean = append(mean, loss[""][at])
		if g, known := largest[at]; known {
			grown = append(grown, g)
		} else {
			grown = append(grown, math.NaN())
		}
	}
	return table.New().AddInt("position", position).AddFloat("loss", mean).AddFloat("growth", grown), nil
}

// byPosition averages a column over prompts: group → position → mean. Missing values are left out.
func byPosition(t *table.Table, column string, group func(row int) string) (map[string]map[int64]float64, error) {
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	values, err := t.Float(column)
	if err != nil {
		return nil, err
	}
	out, counts := map[string]map[int64]float64{}, map[string]map[int64]float64{}
	for row, v := range values {
		if math.IsNaN(v) {
			continue
		}
		g := group(row)
		if out[g] == nil {
			out[g], counts[g] = map[int64]float64{}, map[int64]float64{}
		}
		out[g][position[row]] += v
		counts[g][position[row]]++
	}
	for g := range out {
		for at := range out[g] {
			out[g][at] /= counts[g][at]
		}
	}
	return out, nil
}
