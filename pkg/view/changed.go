package view

import (
	"errors"
	"fmt"

	"stuffed/pkg/table"
)

// Changed is what an intervention does to a text (tables of intervene.OnText and intervene.PatchTokens, one row a token): its tokens
// coloured by the change of their loss, and by position the loss of the untouched model and the changed one, means over so many tokens.
func Changed(t *table.Table, bucket int) (View, error) {
	v, err := Tokens(t, "change", "Change of loss (nat)")
	if err != nil {
		return View{}, fmt.Errorf("changed: %w", err)
	}
	curves, err := byPosition(t, bucket)
	if err != nil {
		return View{}, fmt.Errorf("changed: %w", err)
	}
	lines, err := Lines(curves, "position", "Position (tokens)", "loss", "Loss (nat/token)", "model")
	lines.Title, lines.Body = v.Title, v.Body
	return lines, err
}

// changedLoss is the mean loss of a bucket over prompts.
type changedLoss struct {
	Position int64   `parquet:"position" doc:"first token of the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats"`
	Model    string  `parquet:"model" doc:"untouched or changed"`
}

// byPosition averages both losses of a table over buckets and prompts: a table of [changedLoss].
func byPosition(t *table.Table, bucket int) (*table.Table, error) {
	positions, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	if bucket < 1 {
		return nil, errors.New("a bucket has at least one token")
	}
	var rows []changedLoss
	for _, series := range []struct{ column, name string }{{"loss", "untouched"}, {"changed", "changed"}} {
		values, err := t.Float(series.column)
		if err != nil {
			return nil, err
		}
		sum, count, last := map[int64]float64{}, map[int64]float64{}, int64(-1)
		for i, p := range positions {
			sum[p/int64(bucket)] += values[i]
			count[p/int64(bucket)]++
			last = max(last, p/int64(bucket))
		}
		for b := range last + 1 {
			if count[b] > 0 {
				rows = append(rows, changedLoss{b * int64(bucket), sum[b] / count[b], series.name})
			}
		}
	}
	return table.Of(rows), nil
}
