// Package table holds results as typed columns and stores them in Parquet or CSV files that are either complete or absent, even when the
// writer is interrupted.
//
// A Table has named columns of int64, float64 (NaN = missing) or text, all of
// one length. Parquet files carry Table.Meta as key/value metadata and open in
// pandas, DuckDB and spreadsheet programs; CSV files have one header line and
// floats written so that they read back bit-equal.
//
// A row type is a struct that describes the columns of a table, one exported field each, in the order of the columns:
//
//	type Response struct {
//		Model string  `parquet:"model" doc:"name of the model"`
//		Loss  float64 `parquet:"loss" doc:"nats per token"`
//	}
//
// Fields are int, int64, float64 (NaN = missing) or string; the fields of embedded structs are inlined, and a field named - is skipped. The
// name is parquet-go's struct tag, so parquet.ReadFile[Response] reads the files as well; doc is the description that --help prints.
//
// [Of] builds a table from such rows, [Rows] reads them back and [Help] lists their columns.
package table

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Column is one named column; exactly one of Ints, Floats and Texts is used.
type Column struct {
	Name   string
	Ints   []int64
	Floats []float64
	Texts  []string
}

// Table is a list of columns of equal length.
type Table struct {
	Columns []Column
	Meta    map[string]string // free text about the whole table; only Parquet files store it

	from  string           // file that it was read from, see Place
	lines []int            // in the file, from 1; nil where they are all there, in order
	aside map[string]error // columns of the file that cannot be decoded, and why
}

// Place names a row for an error: its line, from 1 without the header, and the file if it was read from one.
func (t *Table) Place(row int) string {
	if t.from == "" {
		return fmt.Sprintf("line %d", row+1)
	}
	return fmt.Sprintf("%s: line %d", t.from, t.line(row))
}

func (t *Table) line(row int) int {
	if t.lines != nil {
		return t.lines[row]
	}
	return row + 1
}

// leaveAside records a column that cannot be decoded; the error is returned when the column is requested.
func (t *Table) leaveAside(name string, why error) {
	if t.aside == nil {
		t.aside = map[string]error{}
	}
	t.aside[name] = why
}

// New returns a table without columns.
func New() *Table { return &Table{Meta: map[string]string{}} }

// AddInt appends an integer column and returns t.
func (t *Table) AddInt(name string, values []int64) *Table {
	if values == nil {
		values = []int64{}
	}
	t.Columns = append(t.Columns, Column{Name: name, Ints: values})
	return t
}

// AddFloat appends a float column (NaN = missing) and returns t.
func (t *Table) AddFloat(name string, values []float64) *Table {
	if values == nil {
		values = []float64{}
	}
	t.Columns = append(t.Columns, Column{Name: name, Floats: values})
	return t
}

// AddText appends a text column and returns t.
func (t *Table) AddText(name string, values []string) *Table {
	if values == nil {
		values = []string{}
	}
	t.Columns = append(t.Columns, Column{Name: name, Texts: values})
	return t
}

// Len is the number of values in the column.
func (c *Column) Len() int { return max(len(c.Ints), len(c.Floats), len(c.Texts)) }

// Rows is the number of rows.
func (t *Table) Rows() int {
	if len(t.Columns) == 0 {
		return 0
	}
	return t.Columns[0].Len()
}

// Names lists the column names in order.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

// Has reports whether a column of that name exists.
func (t *Table) Has(name string) bool { return t.column(name) != nil }

func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// Int returns an integer column; floats with integer values convert.
func (t *Table) Int(name string) ([]int64, error) {
	if err := t.Require(name); err != nil {
		return nil, err
	}
	c := t.column(name)
	switch {
	case c.Floats != nil:
		out := make([]int64, len(c.Floats))
		for i, v := range c.Floats {
			if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
				return nil, fmt.Errorf("column %q, row %d: %v is not an integer", name, i+1, v)
			}
			out[i] = int64(v)
		}
		return out, nil
	case len(c.Texts) > 0:
		return nil, fmt.Errorf("column %q holds text (first value %q), integers are needed", name, c.Texts[0])
	}
	return c.Ints, nil
}

// Float returns a float column; integers convert, NaN marks missing values.
func (t *Table) Float(name string) ([]float64, error) {
	if err := t.Require(name); err != nil {
		return nil, err
	}
	c := t.column(name)
	switch {
	case c.Ints != nil:
		out := make([]float64, len(c.Ints))
		for i, v := range c.Ints {
			out[i] = float64(v)
		}
		return out, nil
	case len(c.Texts) > 0:
		for i, v := range c.Texts {
			if _, err := strconv.ParseFloat(v, 64); err != nil && !missing(v) {
				return nil, fmt.Errorf("column %q, row %d: %q is not a number", name, i+1, v)
			}
		}
		return nil, fmt.Errorf("column %q holds text, numbers are needed", name)
	}
	return c.Floats, nil
}

// Text returns a text column; numbers are formatted, missing ones become "".
func (t *Table) Text(name string) ([]string, error) {
	if err := t.Require(name); err != nil {
		return nil, err
	}
	c := t.column(name)
	if c.Texts != nil {
		return c.Texts, nil
	}
	out := make([]string, c.Len())
	for i := range out {
		out[i] = c.cell(i)
	}
	return out, nil
}

// cell formats one value so that it reads back equal.
func (c *Column) cell(row int) string {
	switch {
	case c.Ints != nil:
		return strconv.FormatInt(c.Ints[row], 10)
	case c.Floats != nil:
		if math.IsNaN(c.Floats[row]) {
			return ""
		}
		return strconv.FormatFloat(c.Floats[row], 'g', -1, 64)
	}
	return c.Texts[row]
}

// Require returns a single error that names every missing column and lists those present, or nil.
func (t *Table) Require(names ...string) error {
	var absent []string
	for _, n := range names {
		if why := t.aside[n]; why != nil {
			return fmt.Errorf("column %q %w", n, why)
		}
		if !t.Has(n) {
			absent = append(absent, n)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	present := "none"
	if len(t.Columns) > 0 {
		present = strings.Join(t.Names(), ", ")
	}
	return fmt.Errorf("missing columns: %s (present: %s)", strings.Join(absent, ", "), present)
}

// Check returns an error unless the columns have distinct names and equal lengths.
func (t *Table) Check() error {
	seen := map[string]bool{}
	for i := range t.Columns {
		c := &t.Columns[i]
		if strings.TrimSpace(c.Name) == "" {
			return fmt.Errorf("column %d has no name", i+1)
		}
		if seen[c.Name] {
			return fmt.Errorf("column %q occurs twice", c.Name)
		}
		seen[c.Name] = true
		kinds := 0
		for _, used := range []bool{c.Ints != nil, c.Floats != nil, c.Texts != nil} {
			if used {
				kinds++
			}
		}
		if kinds != 1 {
			return fmt.Errorf("column %q holds %d kinds of values, want one of integers, floats, texts", c.Name, kinds)
		}
		if c.Len() != t.Rows() {
			return fmt.Errorf("column %q has %d rows, column %q has %d", c.Name, c.Len(), t.Columns[0].Name, t.Rows())
		}
	}
	return nil
}

// Without returns a table that lacks the named columns and shares the values of the others with t.
func (t *Table) Without(names ...string) *Table {
	out := &Table{Meta: t.Meta}
	for _, c := range t.Columns {
		if !slices.Contains(names, c.Name) {
			out.Columns = append(out.Columns, c)
		}
	}
	return out
}

// Beside appends the columns of other, sharing their values, and returns t.
func (t *Table) Beside(other *Table) *Table {
	t.Columns = append(t.Columns, other.Columns...)
	return t
}

// Rename renames a column and returns t; an unknown name is ignored.
func (t *Table) Rename(from, to string) *Table {
	if c := t.column(from); c != nil {
		c.Name = to
	}
	return t
}

// Filter returns a new table with the rows for which keep returns true.
func (t *Table) Filter(keep func(row int) bool) *Table {
	var rows []int
	for i := range t.Rows() {
		if keep(i) {
			rows = append(rows, i)
		}
	}
	return t.Take(rows)
}

// Take returns a new table with the given rows, in that order.
func (t *Table) Take(rows []int) *Table {
	out := &Table{Meta: cloneMeta(t.Meta), from: t.from}
	if t.from != "" {
		out.lines = make([]int, len(rows))
		for i, row := range rows {
			out.lines[i] = t.line(row)
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		n := Column{Name: c.Name}
		switch {
		case c.Ints != nil:
			n.Ints = take(c.Ints, rows)
		case c.Floats != nil:
			n.Floats = take(c.Floats, rows)
		default:
			n.Texts = take(c.Texts, rows)
		}
		out.Columns = append(out.Columns, n)
	}
	return out
}

func take[T any](values []T, rows []int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = values[r]
	}
	return out
}

func cloneMeta(meta map[string]string) map[string]string {
	out := make(map[string]string, len(meta))
	for k, v := range meta {
		out[k] = v
	}
	return out
}

// Append adds the rows of other, whose columns must have the same names, in any order. If a column is integer on one side and float on
// the other, it becomes float; a column without values takes the type of the other side. An empty table without columns takes those of other.
func (t *Table) Append(other *Table) error {
	if err := other.Check(); err != nil {
		return err
	}
	t.from, t.lines = "", nil
	if len(t.Columns) == 0 {
		all := make([]int, other.Rows())
		for i := range all {
			all[i] = i
		}
		meta := t.Meta
		*t = *other.Take(all)
		for k, v := range meta {
			t.Meta[k] = v
		}
		return nil
	}
	if err := other.Require(t.Names()...); err != nil {
		return err
	}
	if err := t.Require(other.Names()...); err != nil {
		return err
	}
	joined := make([]Column, len(t.Columns))
	for i := range t.Columns {
		a, b := t.Columns[i], *other.column(t.Columns[i].Name)
		var err error
		if joined[i], err = join(a, b); err != nil {
			return err
		}
	}
	t.Columns = joined
	return nil
}

func join(a, b Column) (Column, error) {
	out := Column{Name: a.Name}
	switch {
	case a.Ints != nil && b.Ints != nil:
		out.Ints = append(slices.Clip(a.Ints), b.Ints...)
	case a.Texts == nil && b.Texts == nil:
		out.Floats = append(slices.Clip(asFloats(a)), asFloats(b)...)
	case a.Texts != nil && b.Texts != nil:
		out.Texts = append(slices.Clip(a.Texts), b.Texts...)
	case a.Texts != nil && blank(b):
		out.Texts = append(slices.Clip(a.Texts), make([]string, b.Len())...)
	case b.Texts != nil && blank(a):
		out.Texts = append(make([]string, a.Len()), b.Texts...)
	default:
		return out, fmt.Errorf("column %q holds numbers on one side and text on the other", a.Name)
	}
	return out, nil
}

func asFloats(c Column) []float64 {
	if c.Floats != nil {
		return c.Floats
	}
	out := make([]float64, len(c.Ints))
	for i, v := range c.Ints {
		out[i] = float64(v)
	}
	return out
}

func blank(c Column) bool {
	if len(c.Ints) > 0 {
		return false
	}
	for _, v := range c.Floats {
		if !math.IsNaN(v) {
			return false
		}
	}
	return c.Texts == nil
}
