package paper

import (
	"math"
	"slices"

	"stuffed/pkg/table"
)

// Finite returns the rows in which a column has a value.
func Finite(t *table.Table, column string) (*table.Table, error) {
	v, err := t.Float(column)
	if err != nil {
		return nil, err
	}
	var keep []int
	for i := range v {
		if !math.IsNaN(v[i]) && !math.IsInf(v[i], 0) {
			keep = append(keep, i)
		}
	}
	return t.Take(keep), nil
}

// MeanRank is a rank at one position.
type MeanRank struct {
	Position int64   `parquet:"position" doc:"position in tokens"`
	Of       string  `parquet:"of" doc:"what has the rank: the state or what the past can do"`
	Rank     float64 `parquet:"rank" doc:"mean over layers and heads"`
}

// OverHeads averages columns of a table with one row per position, layer and head, such as that of eval.Use, over layers and
// heads: a table of [MeanRank].
func OverHeads(t *table.Table, columns ...string) (*table.Table, error) {
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	places := slices.Compact(slices.Sorted(slices.Values(position)))
	titles := map[string]string{"state_rank": "of the state", "memory_rank": "of what the past can do"}
	var rows []MeanRank
	for _, name := range columns {
		v, err := t.Float(name)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			sum, n := 0.0, 0.0
			for i := range v {
				if position[i] == p && !math.IsNaN(v[i]) {
					sum, n = sum+v[i], n+1
				}
			}
			if n > 0 {
				rows = append(rows, MeanRank{p, titles[name], sum / n})
			}
		}
	}
	return table.Of(rows), nil
}
