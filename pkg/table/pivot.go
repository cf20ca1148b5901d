package table

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Pivot turns a long table into a wide one: one row per distinct combination of rows, one column (named column=value) per distinct value
// of column, and the entries of value in the cells, NaN where there is none. Two rows for the same cell are an error: Group them first.
func (t *Table) Pivot(rows []string, column, value string) (*Table, error) {
	values, err := t.Float(value)
	if err != nil {
		return nil, err
	}
	lines, err := t.groups(rows)
	if err != nil {
		return nil, err
	}
	names, err := t.Text(column)
	if err != nil {
		return nil, err
	}
	firsts := make([]int, len(lines))
	wide := map[string][]float64{}
	var order []string
	for i, line := range lines {
		firsts[i] = line[0]
		for _, r := range line {
			cells, known := wide[names[r]]
			if !known {
				order = append(order, names[r])
				cells = make([]float64, len(lines))
				for j := range cells {
					cells[j] = math.NaN()
				}
				wide[names[r]] = cells
			}
			if !math.IsNaN(cells[i]) {
				return nil, fmt.Errorf("pivot: two rows with the same %s and %s = %s; Group them first", strings.Join(rows, ", "), column, names[r])
			}
			cells[i] = values[r]
		}
	}
	if err := t.Require(rows...); err != nil {
		return nil, err
	}
	out := t.only(rows).Take(firsts)
	for _, name := range order {
		out.AddFloat(column+"="+name, wide[name])
	}
	return out, out.Check()
}

// Join is an inner join on the given columns; rows without a match are dropped. Columns of other whose names also occur in t get the suffix _2.
func (t *Table) Join(other *Table, on ...string) (*Table, error) {
	if len(on) == 0 {
		return nil, fmt.Errorf("join: name the columns that rows must share")
	}
	left, err := t.keys(on)
	if err != nil {
		return nil, fmt.Errorf("join, left: %w", err)
	}
	right, err := other.keys(on)
	if err != nil {
		return nil, fmt.Errorf("join, right: %w", err)
	}
	at := map[string][]int{}
	for row, k := range right {
		at[k] = append(at[k], row)
	}
	var ours, theirs []int
	for row, k := range left {
		for _, r := range at[k] {
			ours, theirs = append(ours, row), append(theirs, r)
		}
	}
	out := t.Take(ours)
	for _, c := range other.Take(theirs).Columns {
		if slices.Contains(on, c.Name) {
			continue
		}
		if out.Has(c.Name) {
			c.Name += "_2"
		}
		out.Columns = append(out.Columns, c)
	}
	return out, out.Check()
}
