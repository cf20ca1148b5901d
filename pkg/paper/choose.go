package paper

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// errNothing marks a study that holds nothing of the kind asked for.
var errNothing = errors.New("the study does not show it")

// Where returns the rows whose column equals one of the values, as a CSV file would spell them. No matching row is an error.
func Where(t *table.Table, column string, values ...any) (*table.Table, error) {
	texts, err := t.Text(column)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, v := range values {
		wanted[fmt.Sprint(v)] = true
	}
	out := t.Filter(func(row int) bool { return wanted[texts[row]] })
	if out.Rows() == 0 {
		return nil, fmt.Errorf("%w: no row has %s = %v", errNothing, column, values)
	}
	return out, nil
}

// Last returns the rows measured at the end of training.
func Last(t *table.Table) (*table.Table, error) {
	rows, err := t.Text("row")
	if err != nil {
		return nil, err
	}
	tokens, err := t.Int("tokens")
	if err != nil {
		return nil, err
	}
	most := map[string]int64{}
	for i, r := range rows {
		most[r] = max(most[r], tokens[i])
	}
	return t.Filter(func(i int) bool { return tokens[i] == most[rows[i]] }), nil
}

// OverSeeds averages rows with equal keys. The result has the keys; for each value V its mean V, its minimum V_low and its
// maximum V_high; and n, the number of rows. Missing values are skipped.
func OverSeeds(t *table.Table, keys []string, values ...string) (*table.Table, error) {
	key, err := joinedKeys(t, keys)
	if err != nil {
		return nil, err
	}
	columns := make([][]float64, len(values))
	for i, v := range values {
		if columns[i], err = t.Float(v); err != nil {
			return nil, err
		}
	}
	first, place := []int(nil), map[string]int{}
	var members [][]int
	for row, k := range key {
		at, seen := place[k]
		if !seen {
			at = len(first)
			place[k], first, members = at, append(first, row), append(members, nil)
		}
		members[at] = append(members[at], row)
	}
	out := table.New()
	for _, c := range t.Take(first).Columns {
		if slices.Contains(keys, c.Name) {
			out.Columns = append(out.Columns, c)
		}
	}
	counts := make([]int64, len(first))
	for g, rows := range members {
		counts[g] = int64(len(rows))
	}
	for i, name := range values {
		mean, low, high := make([]float64, len(first)), make([]float64, len(first)), make([]float64, len(first))
		for g, rows := range members {
			var of []float64
			for _, r := range rows {
				if v := columns[i][r]; !math.IsNaN(v) {
					of = append(of, v)
				}
			}
			mean[g], low[g], high[g] = spread(of)
		}
		out.AddFloat(name, mean).AddFloat(name+"_low", low).AddFloat(name+"_high", high)
	}
	return out.AddInt("n", counts), nil
}

// spread returns mean, minimum and maximum; NaN for an empty slice.
func spread(v []float64) (mean, low, high float64) {
	if len(v) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	for _, x := range v {
		mean += x / float64(len(v))
	}
	return mean, slices.Min(v), slices.Max(v)
}

func joinedKeys(t *table.Table, keys []string) ([]string, error) {
	out := make([]string, t.Rows())
	for _, k := range keys {
		texts, err := t.Text(k)
		if err != nil {
			return nil, err
		}
		for i, s := range texts {
			out[i] += s + "\x00"
		}
	}
	return out, nil
}

// Times adds two columns: times, the geometric middle of position … end in training lengths (for a bucket that begins at 0, its
// end), and at, the same in tokens.
func Times(t *table.Table) (*table.Table, error) {
	columns := map[string][]float64{}
	for _, name := range []string{"position", "end", "train_length"} {
		v, err := t.Float(name)
		if err != nil {
			return nil, err
		}
		columns[name] = v
	}
	times, at := make([]float64, t.Rows()), make([]float64, t.Rows())
	for i, p := range columns["position"] {
		at[i] = columns["end"][i]
		if p > 0 {
			at[i] = math.Sqrt(p * at[i])
		}
		times[i] = at[i] / columns["train_length"][i]
	}
	out := t.Filter(func(int) bool { return true })
	return out.AddFloat("times", times).AddFloat("at", at), nil
}

// Sorted sorts rows by columns; numbers sort by value.
func Sorted(t *table.Table, by ...string) (*table.Table, error) {
	order := make([]int, t.Rows())
	for i := range order {
		order[i] = i
	}
	var compare []func(a, b int) int
	for _, name := range by {
		if v, err := t.Float(name); err == nil {
			compare = append(compare, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
			continue
		}
		v, err := t.Text(name)
		if err != nil {
			return nil, err
		}
		compare = append(compare, func(a, b int) int { return strings.Compare(v[a], v[b]) })
	}
	slices.SortStableFunc(order, func(a, b int) int {
		for _, c := range compare {
			if d := c(a, b); d != 0 {
				return d
			}
		}
		return 0
	})
	return t.Take(order), nil
}

// Only returns the named columns, in the order given.
func Only(t *table.Table, names ...string) (*table.Table, error) {
	if err := t.Require(names...); err != nil {
		return nil, err
	}
	out := table.New()
	for _, n := range names {
		for _, c := range t.Columns {
			if c.Name == n {
				out.Columns = append(out.Columns, c)
			}
		}
	}
	return out, nil
}
