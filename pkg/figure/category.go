package figure

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"stuffed/pkg/table"
)

// categories lists the different values of a column: numbers in their order, text in order of appearance.
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

// Number writes v with three significant digits: 0.0123, 45.6, 1.2×10⁻⁵.
func Number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return minus(strconv.FormatFloat(v, 'f', 0, 64))
	case v == 0:
		return "0"
	}
	if a := math.Abs(v); a >= 1e5 || a < 1e-3 {
		e := int(math.Floor(math.Log10(a)))
		m := strconv.FormatFloat(v/math.Pow10(e), 'g', 3, 64)
		if m == "10" || m == "-10" {
			m, e = m[:len(m)-1], e+1
		}
		return minus(m) + "×10" + superscript(e)
	}
	if v == math.Trunc(v) || math.Abs(v) >= 1000 {
		return minus(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return minus(strconv.FormatFloat(v, 'g', 3, 64))
}
