package paper

import (
	"math"
	"slices"

	"stuffed/pkg/table"
)

// Finite leaves out the rows in which a column has no value.
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

// OverHeads averages columns of a table with one row for each position, layer and head, such as that of eval.Use, over layers and
// heads: position, of (the column's name in words), rank.
func OverHeads(t *table.Table, columns ...string) (*table.Table, error) {
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	places := slices.Compact(slices.Sorted(slices.Values(position)))
	var at []int64
	var of []string
	var rank []float64
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
				at, of, rank = append(at, p), append(of, map[string]string{"state_rank": "of the state", "memory_rank": "of what the past can do"}[name]), append(rank, sum/n)
			}
		}
	}
	return table.New().AddInt("position", at).AddText("of", of).AddFloat("rank", rank), nil
}
