package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/interval"
	"stuffed/pkg/table"
)

// Causes are the interventions that tell what causes a failure beyond the training length, each from position T on: Δ, B or
// x held at their in-window means, B or x at their in-window mean norms; and in all positions: A or dt_bias of the n heads of
// the largest retention exchanged with those of the smallest, these heads ablated, and as many random others ablated.
func Causes(ctx context.Context, b *Bench, s Suite, n int, seed uint64) ([]Method, error) {
	stats, err := b.inWindow(ctx, s)
	if err != nil {
		return nil, err
	}
	methods := []Method{{Name: "none"}}
	for _, q := range []string{"delta", "b", "x", "b_norm", "x_norm"} {
		v, err := stats.Freeze(b.Model, q, nil, s.TrainLength)
		if err != nil {
			return nil, err
		}
		methods = append(methods, Method{Name: "hold " + strings.ReplaceAll(q, "_", " "), Plan: Plan{v}})
	}
	top := Top(stats.Retention(s.TrainLength), n)
	random, err := Random(b.Model, top, len(top), seed)
	if err != nil {
		return nil, err
	}
	partners := opposite(stats.LogAlpha, top)
	for _, kind := range []string{"a_swap", "dt_bias_swap"} {
		methods = append(methods, Method{Name: strings.ReplaceAll(kind, "_", " "), Plan: Plan{{Kind: kind, Heads: top, With: partners}}})
	}
	return append(methods, Method{Name: "ablate", Plan: Plan{{Kind: "ablate", Heads: top}}},
		Method{Name: "ablate random", Plan: Plan{{Kind: "ablate", Heads: random}}}), nil
}

// opposite are, for each head, the head of its layer with the smallest value that is not taken.
func opposite(values [][]float64, heads []Head) (out []Head) {
	taken := slices.Clone(heads)
	for _, h := range heads {
		least := Head{h.Layer, -1}
		for other, v := range values[h.Layer] {
			if !slices.Contains(taken, Head{h.Layer, other}) && (least.Head < 0 || v < values[h.Layer][least.Head]) {
				least.Head = other
			}
		}
		if least.Head < 0 {
			least = h // no head is left; validation names it
		}
		taken, out = append(taken, least), append(out, least)
	}
	return out
}

// WriteMethods scores the methods that of makes for each model: a table of Result. An interrupted run is resumed.
func WriteMethods(ctx context.Context, models []Named, s Suite, of func(Named) ([]Method, error), results string, progress func(done, total int)) error {
	out, err := resume[Result](results, "model", "method")
	if err != nil {
		return err
	}
	for i, m := range models {
		methods, err := of(m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		for j, method := range methods {
			if !out.has(m.Name, method.Name) {
				scores, err := s.Run(ctx, m.Bench, method)
				if err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
				if err := out.add(resultsOf(m.Name, method, s, scores), m.Name, method.Name); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(i*len(methods)+j+1, len(models)*len(methods))
			}
		}
	}
	return out.Close()
}

// Farthest is the largest multiple of T in a table of Response or Result, 0 for none.
func Farthest(t *table.Table) int {
	at, err := t.Int("multiple")
	if err != nil || len(at) == 0 {
		return 0
	}
	return int(slices.Max(at))
}

// MeanResponse is the mean of a dose–response run over models and random sets at one multiple of T.
type MeanResponse struct {
	Set       string  `parquet:"set" doc:"which heads are changed: chosen or random"`
	Dose      float64 `parquet:"dose" doc:"value of the intervention"`
	Kept      float64 `parquet:"kept" doc:"dose^T: what a factor or bound of α leaves of a token after T tokens"`
	Loss      float64 `parquet:"loss" doc:"nats per value"`
	LossLow   float64 `parquet:"loss_low" doc:"smallest of the runs; of one run, lower end of its 95 % interval over sequences"`
	LossHigh  float64 `parquet:"loss_high" doc:"largest of the runs; of one, upper end"`
	Recall    float64 `parquet:"recall" doc:"share of the values that were the likeliest token"`
	Norm      float64 `parquet:"norm_ratio" doc:"largest growth of a head's state over its maximum within T"`
	Retention float64 `parquet:"retention" doc:"largest exp(T · mean log α) of a head"`
	Runs      int     `parquet:"runs" doc:"number of models and random sets"`
}

// MeanResponses has a MeanResponse for each set and dose of a table of Response.
func MeanResponses(t *table.Table, multiple, trainLength int) (*table.Table, error) {
	rows, err := table.Rows[Response](t)
	if err != nil {
		return nil, err
	}
	type cell struct {
		set  string
		dose float64
	}
	cells, order := map[cell][]Response{}, []cell{}
	for _, r := range rows {
		if r.Multiple != multiple || r.Set == "none" {
			continue
		}
		c := cell{r.Set, r.Dose}
		if cells[c] == nil {
			order = append(order, c)
		}
		cells[c] = append(cells[c], r)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("no responses at multiple %d", multiple)
	}
	var means []MeanResponse
	for _, c := range order {
		n := float64(len(cells[c]))
		m := MeanResponse{Set: c.set, Dose: c.dose, Kept: math.Pow(c.dose, float64(trainLength)), Runs: len(cells[c])}
		var losses []float64
		for _, r := range cells[c] {
			losses = append(losses, r.Loss)
			m.Recall += r.Recall / n
			m.Norm += r.Norm / n
			m.Retention += r.Retention / n
		}
		m.Loss, m.LossLow, m.LossHigh = interval.Range(losses)
		if len(losses) == 1 {
			m.LossLow, m.LossHigh = cells[c][0].LossLow, cells[c][0].LossHigh
		}
		means = append(means, m)
	}
	return table.Of(means), nil
}
