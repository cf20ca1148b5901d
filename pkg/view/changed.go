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

// byPosition are the columns position (first of a bucket), loss and model (untouched or changed): means over buckets and prompts.
func byPosition(t *table.Table, bucket int) (*table.Table, error) {
	positions, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	if bucket < 1 {
		return nil, errors.New("a bucket has at least one token")
	}
	var position []int64
	var loss []float64
	var model []string
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
				position, loss, model = append(position, b*int64(bucket)), append(loss, sum[b]/count[b]), append(model, series.name)
			}
		}
	}
	return table.New().AddInt("position", position).AddFloat("loss", loss).AddText("model", model), nil
}
