package table

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Summary reduces the values of a group to one number; missing values (NaN) are dropped first.
type Summary struct {
	Column string // column to reduce; empty: the rows themselves
	As     string // name of the new column
	of     func(values []float64) float64
}

// Summaries of a column. The result is named mean_loss, max_norm and so on; use Rename for another name.
func Mean(column string) Summary   { return Summary{column, "mean_" + column, mean} }
func Median(column string) Summary { return Summary{column, "median_" + column, median} }
func Min(column string) Summary    { return Summary{column, "min_" + column, least} }
func Max(column string) Summary    { return Summary{column, "max_" + column, greatest} }
func Sum(column string) Summary    { return Summary{column, "sum_" + column, sum} }
func SD(column string) Summary     { return Summary{column, "sd_" + column, deviation} }

// Count counts the rows of a group.
func Count() Summary { return Summary{As: "count"} }

// Rename sets the name of the result column.
func (s Summary) Rename(name string) Summary {
	s.As = name
	return s
}

// Group returns one row for each distinct combination of the key columns, in order of first appearance: the keys, then the summaries.
// Mean, median, minimum and maximum of an empty group are missing; SD is the sample standard deviation (n − 1).
func (t *Table) Group(keys []string, summaries ...Summary) (*Table, error) {
	groups, err := t.groups(keys)
	if err != nil {
		return nil, err
	}
	out := New()
	if len(keys) > 0 {
		firsts := make([]int, len(groups))
		for i, rows := range groups {
			firsts[i] = rows[0]
		}
		out = t.only(keys).Take(firsts)
	}
	for _, s := range summaries {
		if out.Has(s.As) {
			return nil, fmt.Errorf("two columns %q: Rename one", s.As)
		}
		if s.of == nil {
			counts := make([]int64, len(groups))
			for i, rows := range groups {
				counts[i] = int64(len(rows))
			}
			out.AddInt(s.As, counts)
			continue
		}
		values, err := t.Float(s.Column)
		if err != nil {
			return nil, err
		}
		made := make([]float64, len(groups))
		for i, rows := range groups {
			var known []float64
			for _, r := range rows {
				if !math.IsNaN(values[r]) {
					known = append(known, values[r])
				}
			}
			made[i] = s.of(known)
		}
		out.AddFloat(s.As, made)
	}
	return out, nil
}

// groups returns the row indices that share the same cells in columns, in order of first appearance; without columns, one group of all rows.
func (t *Table) groups(columns []string) (groups [][]int, err error) {
	keys, err := t.keys(columns)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for row, k := range keys {
		i, known := at[k]
		if !known {
			i = len(groups)
			at[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], row)
	}
	return groups, nil
}

// keys returns, for each row, the cells of the given columns joined into one string.
func (t *Table) keys(columns []string) ([]string, error) {
	keys := make([]string, t.Rows())
	for _, name := range columns {
		texts, err := t.Text(name)
		if err != nil {
			return nil, err
		}
		for i, s := range texts {
			keys[i] += s + "\x00"
		}
	}
	return keys, nil
}

// only returns the named columns, which must exist.
func (t *Table) only(names []string) *Table {
	out := New()
	for _, n := range names {
		out.Columns = append(out.Columns, *t.column(n))
	}
	return out
}

// Select returns the named columns in the given order.
func (t *Table) Select(names ...string) (*Table, error) {
	if err := t.Require(names...); err != nil {
		return nil, err
	}
	out := t.only(names)
	out.Meta = cloneMeta(t.Meta)
	return out, nil
}

// Sort orders the rows by columns, the first being the primary key; a leading "-" sorts in descending order. Missing numbers sort last.
func (t *Table) Sort(columns ...string) (*Table, error) {
	orders := make([]func(a, b int) int, len(columns))
	for i, name := range columns {
		name, down := strings.CutPrefix(name, "-")
		if err := t.Require(name); err != nil {
			return nil, err
		}
		orders[i] = t.column(name).order(down)
	}
	rows := make([]int, t.Rows())
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		for _, order := range orders {
			if c := order(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	return t.Take(rows), nil
}

func (c *Column) order(down bool) func(a, b int) int {
	sign := 1
	if down {
		sign = -1
	}
	switch {
	case c.Ints != nil:
		return func(a, b int) int { return sign * cmp.Compare(c.Ints[a], c.Ints[b]) }
	case c.Floats != nil:
		return func(a, b int) int {
			x, y := c.Floats[a], c.Floats[b]
			if math.IsNaN(x) || math.IsNaN(y) { // NaN sorts last in either direction
				return cmp.Compare(isNaN(x), isNaN(y))
			}
			return sign * cmp.Compare(x, y)
		}
	}
	return func(a, b int) int { return sign * cmp.Compare(c.Texts[a], c.Texts[b]) }
}

func isNaN(v float64) int {
	if math.IsNaN(v) {
		return 1
	}
	return 0
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}

func mean(v []float64) float64 { return sum(v) / float64(len(v)) } // NaN of none

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func least(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Min(v)
}

func greatest(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Max(v)
}

func deviation(v []float64) float64 {
	m, squares := mean(v), 0.0
	for _, x := range v {
		squares += (x - m) * (x - m)
	}
	return math.Sqrt(squares / float64(len(v)-1)) // NaN of one
}
