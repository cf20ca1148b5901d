package table

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/parquet-go/parquet-go"
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

func decodeParquet(r io.ReaderAt, size int64) (t *Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("damaged Parquet data: %v", p)
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
	for i, field := range f.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("column %q is nested or repeated, only flat tables can be read", field.Name())
		}
		c, err := readColumn(f, i, field)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", field.Name(), err)
		}
		t.Columns = append(t.Columns, c)
	}
	return t, t.Check()
}

func readColumn(f *parquet.File, index int, field parquet.Field) (Column, error) {
	c := Column{Name: field.Name()}
	kind := field.Type().Kind()
	switch kind {
	case parquet.Boolean, parquet.Int32, parquet.Int64:
		c.Ints = make([]int64, 0, f.NumRows())
	case parquet.Float, parquet.Double:
		c.Floats = make([]float64, 0, f.NumRows())
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.Texts = make([]string, 0, f.NumRows())
	default:
		return c, fmt.Errorf("kind %s cannot be read, want integers, floats or strings", kind)
	}
	buffer := make([]parquet.Value, 4096)
	for _, group := range f.RowGroups() {
		pages := group.ColumnChunks()[index].Pages()
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				pages.Close()
				return c, err
			}
			values := page.Values()
			for {
				n, err := values.ReadValues(buffer)
				for _, v := range buffer[:n] {
					c.push(kind, v)
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					parquet.Release(page)
					pages.Close()
					return c, err
				}
			}
			parquet.Release(page)
		}
		if err := pages.Close(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Column) push(kind parquet.Kind, v parquet.Value) {
	if v.IsNull() {
		if c.Ints != nil {
			c.Floats, c.Ints = asFloats(*c), nil
		}
		if c.Texts != nil {
			c.Texts = append(c.Texts, "")
			return
		}
		c.Floats = append(c.Floats, math.NaN())
		return
	}
	var i int64
	switch kind {
	case parquet.Float:
		c.Floats = append(c.Floats, float64(v.Float()))
		return
	case parquet.Double:
		c.Floats = append(c.Floats, v.Double())
		return
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.Texts = append(c.Texts, string(v.ByteArray()))
		return
	case parquet.Boolean:
		if v.Boolean() {
			i = 1
		}
	case parquet.Int32:
		i = int64(v.Int32())
	default:
		i = v.Int64()
	}
	if c.Ints == nil {
		c.Floats = append(c.Floats, float64(i))
		return
	}
	c.Ints = append(c.Ints, i)
}
