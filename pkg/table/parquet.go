package table

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// orderedGroup is a parquet.Group that keeps the table's column order.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.fields }

func (g orderedGroup) GoType() reflect.Type { return reflect.TypeOf(map[string]any{}) }

type namedField struct {
	parquet.Node
	name string
}

func (f namedField) Name() string { return f.name }

func (f namedField) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

func schemaOf(t *Table) *parquet.Schema {
	g := orderedGroup{Group: parquet.Group{}}
	for i := range t.Columns {
		c := &t.Columns[i]
		var n parquet.Node
		switch {
		case c.Ints != nil:
			n = parquet.Leaf(parquet.Int64Type)
		case c.Floats != nil:
			n = parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.ByteStreamSplit)
		default:
			n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
		n = parquet.Required(parquet.Compressed(n, &parquet.Zstd))
		g.Group[c.Name] = n
		g.fields = append(g.fields, namedField{n, c.Name})
	}
	return parquet.NewSchema("table", g)
}

// encoder writes tables of one schema as row groups of one Parquet file.
type encoder struct {
	w      *parquet.Writer //lint:ignore SA1019 rows are of a schema made at run time, which the generic writer cannot take
	schema *Table
}

func newEncoder(w io.Writer, like *Table) *encoder {
	e := &encoder{schema: like}
	e.w = parquet.NewWriter(w, &parquet.WriterConfig{
		CreatedBy: "stuffed", Schema: schemaOf(like), KeyValueMetadata: like.Meta,
		PageBufferSize: 256 << 10, DataPageVersion: 1, DataPageStatistics: true, WriteBufferSize: 64 << 10,
		ColumnPageBuffers: parquet.NewBufferPool(), ColumnIndexSizeLimit: 16,
	})
	return e
}

func (e *encoder) rowGroup(t *Table) error {
	const batch = 4096
	values := make([]parquet.Value, 0, batch)
	writers := e.w.ColumnWriters()
	for i := range e.schema.Columns {
		c := &t.Columns[i]
		for from := 0; from < c.Len(); from += batch {
			values = values[:0]
			to := min(from+batch, c.Len())
			switch {
			case c.Ints != nil:
				for _, v := range c.Ints[from:to] {
					values = append(values, parquet.Int64Value(v))
				}
			case c.Floats != nil:
				for _, v := range c.Floats[from:to] {
					values = append(values, parquet.DoubleValue(v))
				}
			default:
				for row, v := range c.Texts[from:to] {
					if row > 0 && v == c.Texts[from+row-1] {
						values = append(values, values[row-1])
					} else {
						values = append(values, parquet.ByteArrayValue([]byte(v)))
					}
				}
			}
			if _, err := writers[i].WriteRowValues(values); err != nil {
				return err
			}
		}
	}
	return e.w.Flush()
}

func (e *encoder) close() error { return e.w.Close() }

func encodeParquet(w io.Writer, t *Table) error {
	e := newEncoder(w, t)
	if err := e.rowGroup(t); err != nil {
		return err
	}
	return e.close()
}

// decodeParquet reads the flat columns. Columns of other types are set aside and reported only when they are requested.
func decodeParquet(r io.ReaderAt, size int64) (t *Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("damaged or unknown Parquet data: %v", p)
		}
	}()
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, err
	}
	t = New()
	for _, kv := range f.Metadata().KeyValueMetadata {
		t.Meta[kv.Key] = kv.Value
	}
	elements, leaf := f.Metadata().Schema[1:], 0
	for len(elements) > 0 {
		e, below := elements[0], subtree(elements)
		c, err := readFlat(f, leaf, e)
		var aside asideError
		switch {
		case errors.As(err, &aside):
			t.leaveAside(e.Name, aside)
		case err != nil:
			return nil, fmt.Errorf("column %q: %w", e.Name, err)
		default:
			t.Columns = append(t.Columns, c)
		}
		for _, inner := range elements[:below] {
			if inner.NumChildren == 0 {
				leaf++
			}
		}
		elements = elements[below:]
	}
	if len(t.Columns) == 0 && len(t.aside) > 0 {
		return nil, t.Require(f.Metadata().Schema[1].Name)
	}
	return t, t.Check()
}

// asideError says why a column was set aside.
type asideError struct{ error }

// subtree returns the number of schema elements in the first field: the element itself and everything nested below it.
func subtree(elements []format.SchemaElement) int {
	n := 1
	for range elements[0].NumChildren {
		n += subtree(elements[n:])
	}
	return n
}

func readFlat(f *parquet.File, leaf int, e format.SchemaElement) (Column, error) {
	repeated := e.RepetitionType != nil && *e.RepetitionType == format.Repeated
	if e.NumChildren > 0 || repeated || e.Type == nil {
		return Column{}, asideError{errors.New("is nested or repeated, only flat columns can be read")}
	}
	m, err := meaningOf(e)
	if err != nil {
		return Column{}, asideError{err}
	}
	return readColumn(f, leaf, e.Name, m)
}

func readColumn(f *parquet.File, leaf int, name string, m meaning) (Column, error) {
	c := Column{Name: name}
	switch {
	case m.integer != nil:
		c.Ints = make([]int64, 0, f.NumRows())
	case m.float != nil:
		c.Floats = make([]float64, 0, f.NumRows())
	default:
		c.Texts = make([]string, 0, f.NumRows())
	}
	buffer := make([]parquet.Value, 4096)
	for _, group := range f.RowGroups() {
		pages := group.ColumnChunks()[leaf].Pages()
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = c.readPage(page, m, buffer)
				parquet.Release(page)
			}
			if err != nil {
				pages.Close()
				return c, err
			}
		}
		if err := pages.Close(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Column) readPage(page parquet.Page, m meaning, buffer []parquet.Value) error {
	values := page.Values()
	for {
		n, err := values.ReadValues(buffer)
		for _, v := range buffer[:n] {
			if err := c.push(m, v); err != nil {
				return asideError{err}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// push appends a value. A missing value turns an integer column into a float column, where it is NaN.
func (c *Column) push(m meaning, v parquet.Value) error {
	switch {
	case v.IsNull() && m.text != nil:
		c.Texts = append(c.Texts, "")
	case v.IsNull():
		if c.Ints != nil {
			c.Floats, c.Ints = asFloats(*c), nil
		}
		c.Floats = append(c.Floats, math.NaN())
	case m.text != nil:
		s, err := m.text(v)
		c.Texts = append(c.Texts, s)
		return err
	case m.float != nil:
		c.Floats = append(c.Floats, m.float(v))
	default:
		i, err := m.integer(v)
		if c.Ints == nil {
			c.Floats = append(c.Floats, float64(i))
		} else {
			c.Ints = append(c.Ints, i)
		}
		return err
	}
	return nil
}
