package report

import (
	"context"
	"fmt"
	"maps"
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
	Verdicts *table.Table // of KindVerdict
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
		if err := all.Verdicts.Append(table.Of([]KindVerdict{verdictOf(k.Label, seen.Verdict, curve, seen.TrainLength)})); err != nil {
			return nil, err
		}
		if err := all.Curves.Append(table.Of(curve).AddText("kind", slices.Repeat([]string{k.Label}, len(curve)))); err != nil {
			return nil, err
		}
		all.Seen = append(all.Seen, seen)
	}
	return all, nil
}

// KindVerdict is what package collapse says of one kind of prompt.
type KindVerdict struct {
	Kind             string  `parquet:"kind" doc:"kind of prompt"`
	Explosion        int     `parquet:"explosion" doc:"1 if states explode, otherwise 0"`
	ExplosionOnset   float64 `parquet:"explosion_onset" doc:"from which position on, in tokens"`
	Heads            float64 `parquet:"heads" doc:"share of the heads that explode"`
	Strict           int     `parquet:"strict" doc:"1 if the loss degrades by the strict rule, otherwise 0"`
	Paper            int     `parquet:"paper" doc:"the same by the paper's rule"`
	Perplexity       int     `parquet:"perplexity" doc:"the same by the rule on perplexity"`
	DegradationOnset float64 `parquet:"degradation_onset" doc:"from which position on the loss degrades, in tokens"`
	Level            float64 `parquet:"level" doc:"loss in the window, nats"`
	Worst            float64 `parquet:"worst" doc:"largest mean of a bucket beyond it, nats"`
	First            string  `parquet:"first" doc:"what comes first: state, loss, neither or undecided"`
}

func verdictOf(kind string, v *collapse.Verdict, curve []Growth, trainLength int) KindVerdict {
	flag := map[bool]int{true: 1}
	worst := math.Inf(-1)
	for _, c := range curve {
		if c.Position >= int64(trainLength) {
			worst = max(worst, c.Loss)
		}
	}
	return KindVerdict{kind, flag[v.Explosion], reached(v.ExplosionAt), v.Details.HeadsShare, flag[v.Strict], flag[v.Paper], flag[v.Perplexity],
		reached(v.DegradationAt), v.Details.Level, worst, v.First}
}

// Growth is the mean loss and the growth of the state at one position.
type Growth struct {
	Position int64   `parquet:"position" doc:"position in tokens"`
	Loss     float64 `parquet:"loss" doc:"nats, mean over prompts"`
	Growth   float64 `parquet:"growth" doc:"largest growth of a head's norm over its maximum in the window"`
}

// growth joins mean loss and, over layers and heads, the largest growth of the state norm.
func growth(states, losses *table.Table, trainLength int) (rows []Growth, err error) {
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
	for _, at := range slices.Sorted(maps.Keys(loss[""])) {
		one := Growth{at, loss[""][at], math.NaN()}
		if g, known := largest[at]; known {
			one.Growth = g
		}
		rows = append(rows, one)
	}
	return rows, nil
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
