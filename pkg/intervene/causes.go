package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

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

// WriteMethods scores the methods that of makes for each model: rows of Results. It goes on after an interruption.
func WriteMethods(ctx context.Context, models []Named, s Suite, of func(Named) ([]Method, error), results string, progress func(done, total int)) error {
	out, err := resume(results, Results(), "model", "method")
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
				if err := out.add(resultRows(m.Name, method, s, scores), m.Name, method.Name); err != nil {
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

// Farthest is the largest multiple of T in rows of Responses or Results, 0 for none.
func Farthest(t *table.Table) int {
	at, err := t.Int("multiple")
	if err != nil || len(at) == 0 {
		return 0
	}
	return int(slices.Max(at))
}

// MeanResponses are the means of Responses over models and random sets at one multiple of T, with 95 % intervals by
// Student's t over them: columns set, dose, kept (dose^T, what a factor or bound of α leaves of a token after T tokens), loss,
// loss_low, loss_high, recall, norm_ratio, retention, runs.
func MeanResponses(t *table.Table, multiple, trainLength int) (*table.Table, error) {
	at, err := t.Int("multiple")
	if err != nil {
		return nil, err
	}
	set, err := t.Text("set")
	if err != nil {
		return nil, err
	}
	columns := map[string][]float64{}
	for _, name := range append([]string{"dose"}, responded...) {
		if columns[name], err = t.Float(name); err != nil {
			return nil, err
		}
	}
	type cell struct {
		set  string
		dose float64
	}
	rows := map[cell][]int{}
	var order []cell
	for i := range at {
		if int(at[i]) != multiple || set[i] == "none" {
			continue
		}
		c := cell{set[i], columns["dose"][i]}
		if rows[c] == nil {
			order = append(order, c)
		}
		rows[c] = append(rows[c], i)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("no responses at multiple %d", multiple)
	}
	sets, runs, means := []string{}, []int64{}, map[string][]float64{}
	put := func(name string, v float64) { means[name] = append(means[name], v) }
	for _, c := range order {
		var losses []float64
		for _, i := range rows[c] {
			losses = append(losses, columns["loss"][i])
		}
		mean, low, high := student(losses)
		if len(losses) == 1 {
			low, high = columns["loss_low"][rows[c][0]], columns["loss_high"][rows[c][0]]
		}
		sets, runs = append(sets, c.set), append(runs, int64(len(losses)))
		put("dose", c.dose)
		put("kept", math.Pow(c.dose, float64(trainLength)))
		put("loss", mean)
		put("loss_low", low)
		put("loss_high", high)
		for _, name := range []string{"recall", "norm_ratio", "retention"} {
			sum := 0.0
			for _, i := range rows[c] {
				sum += columns[name][i] / float64(len(losses))
			}
			put(name, sum)
		}
	}
	out := table.New().AddText("set", sets)
	for _, name := range []string{"dose", "kept", "loss", "loss_low", "loss_high", "recall", "norm_ratio", "retention"} {
		out.AddFloat(name, means[name])
	}
	return out.AddInt("runs", runs), nil
}

// AlphaDoses are upper bounds of α that leave the given shares of a token after T tokens.
func AlphaDoses(trainLength int, kept ...float64) (doses []float64) {
	for _, k := range kept {
		doses = append(doses, math.Pow(k, 1/float64(trainLength)))
	}
	return doses
}
