package figure

import (
	"cmp"
	"slices"
	"strconv"

	"stuffed/pkg/table"
)

// categories returns the distinct values of a column: numbers sorted, text in order of first appearance.
func categories(t *table.Table, name string) ([]string, error) {
	texts, err := t.Text(name)
	if err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	for _, s := range texts {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	if _, err := t.Float(name); err == nil {
		value := func(s string) float64 { v, _ := strconv.ParseFloat(s, 64); return v }
		slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(value(a), value(b)) })
	}
	return out, nil
}
