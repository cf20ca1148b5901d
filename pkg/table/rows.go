package table

import (
	"fmt"
	"reflect"
	"strings"
)

// column describes one field of a row type.
type column struct {
	index     []int // field index path, see reflect.Value.FieldByIndex
	name, doc string
	kind      reflect.Kind
}

func columnsOf[R any]() []column {
	var out []column
	for _, f := range reflect.VisibleFields(reflect.TypeFor[R]()) {
		if f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		if name == "-" {
			continue
		}
		out = append(out, column{f.Index, name, f.Tag.Get("doc"), f.Type.Kind()})
	}
	return out
}

// Of builds a table from a slice of row structs; an empty slice gives all columns and no rows.
func Of[R any](rows []R) *Table {
	t := New()
	for _, c := range columnsOf[R]() {
		out := Column{Name: c.name}
		switch c.kind {
		case reflect.Float64:
			out.Floats = collect(rows, c, reflect.Value.Float)
		case reflect.String:
			out.Texts = collect(rows, c, reflect.Value.String)
		default:
			out.Ints = collect(rows, c, reflect.Value.Int)
		}
		t.Columns = append(t.Columns, out)
	}
	return t
}

func collect[R, V any](rows []R, c column, get func(reflect.Value) V) []V {
	out := make([]V, len(rows))
	for i := range rows {
		out[i] = get(reflect.ValueOf(&rows[i]).Elem().FieldByIndex(c.index))
	}
	return out
}

// Rows converts a table to row structs. Columns may be in any order and extra ones are ignored; the error names every missing column.
func Rows[R any](t *Table) ([]R, error) {
	columns := columnsOf[R]()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	if err := t.Require(names...); err != nil {
		return nil, err
	}
	rows := make([]R, t.Rows())
	for _, c := range columns {
		var err error
		switch c.kind {
		case reflect.Float64:
			err = spread(rows, c, t.Float, reflect.Value.SetFloat)
		case reflect.String:
			err = spread(rows, c, t.Text, reflect.Value.SetString)
		default:
			err = spread(rows, c, t.Int, reflect.Value.SetInt)
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func spread[R, V any](rows []R, c column, read func(string) ([]V, error), set func(reflect.Value, V)) error {
	values, err := read(c.name)
	if err != nil {
		return err
	}
	for i, v := range values {
		set(reflect.ValueOf(&rows[i]).Elem().FieldByIndex(c.index), v)
	}
	return nil
}

// Help formats the columns of a row type for a command's help text: one line each, with name and description.
func Help[R any]() string {
	columns, width := columnsOf[R](), 0
	for _, c := range columns {
		width = max(width, len(c.name))
	}
	var out strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&out, "\n  %-*s  %s", width, c.name, c.doc)
	}
	return strings.TrimPrefix(out.String(), "\n")
}
