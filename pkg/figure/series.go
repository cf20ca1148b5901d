package figure

import (
	"fmt"
	"strings"

	"stuffed/pkg/table"
)

// group holds the rows of a table that share the values of some columns.
type group struct {
	key  string
	name string
	rows []int
}

// groups groups rows by the text of columns, in order of first appearance. format combines the values into a name: one %s per column.
func groups(t *table.Table, rows []int, columns []string, format string) ([]group, error) {
	if format != "" && (strings.Count(format, "%s") != len(columns) || strings.Count(format, "%") != len(columns)) {
		return nil, fmt.Errorf("series name %q: it needs one %%s for each of the %d columns %s and no other %%",
			format, len(columns), strings.Join(columns, ", "))
	}
	texts := make([][]string, len(columns))
	for i, c := range columns {
		var err error
		if texts[i], err = t.Text(c); err != nil {
			return nil, err
		}
	}
	var out []group
	index := map[string]int{}
	for _, row := range rows {
		values := make([]string, len(columns))
		for i := range columns {
			values[i] = texts[i][row]
		}
		key := strings.Join(values, "\x00")
		at, known := index[key]
		if !known {
			at = len(out)
			index[key] = at
			out = append(out, group{key: key, name: seriesName(values, format)})
		}
		out[at].rows = append(out[at].rows, row)
	}
	return out, nil
}

func seriesName(values []string, format string) string {
	if format == "" {
		return strings.Join(values, ", ")
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return fmt.Sprintf(format, args...)
}

func allRows(t *table.Table) []int {
	rows := make([]int, t.Rows())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// numbers returns several float columns; an empty name gives nil.
func numbers(t *table.Table, names ...string) ([][]float64, error) {
	out := make([][]float64, len(names))
	for i, n := range names {
		if n == "" {
			continue
		}
		var err error
		if out[i], err = t.Float(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pick returns the values of the given rows.
func pick(values []float64, rows []int) []float64 {
	if values == nil {
		return nil
	}
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = values[r]
	}
	return out
}
