package table

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// written writes a Parquet file with the columns of g and one row group, and reads it back.
func written(t *testing.T, g parquet.Group, rows ...map[string]any) *Table {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[map[string]any](&b, parquet.NewSchema("t", g))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := decodeParquet(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLogicalTypesAreHonoured(t *testing.T) {
	when := time.Date(1969, 12, 31, 23, 59, 59, 250e6, time.UTC)
	got := written(t, parquet.Group{
		"price": parquet.Decimal(2, 9, parquet.Int32Type),
		"large": parquet.Decimal(3, 18, parquet.Int64Type),
		"fixed": parquet.Decimal(2, 9, parquet.FixedLenByteArrayType(4)),
		"count": parquet.Uint(32),
		"long":  parquet.Uint(64),
		"day":   parquet.Date(),
		"when":  parquet.Timestamp(parquet.Millisecond),
	}, map[string]any{"price": int32(200), "large": int64(-1500), "fixed": [4]byte{0xff, 0xff, 0xff, 0x38}, "count": uint32(1 << 31),
		"long": uint64(7), "day": int32(-1), "when": when.UnixMilli()})
	for name, want := range map[string]float64{"price": 2, "large": -1.5, "fixed": -2, "count": 1 << 31, "long": 7} {
		if v, err := got.Float(name); err != nil || v[0] != want {
			t.Errorf("%s = %v, %v; want %v", name, v, err, want)
		}
	}
	for name, want := range map[string]string{"day": "1969-12-31", "when": "1969-12-31T23:59:59.25Z"} {
		if v, err := got.Text(name); err != nil || v[0] != want {
			t.Errorf("%s = %v, %v; want %v", name, v, err, want)
		}
	}
}

// A column that cannot be decoded returns its reason when it is requested and does not affect the other columns.
func TestUnreadableColumnsAreLeftAside(t *testing.T) {
	got := written(t, parquet.Group{
		"a":     parquet.Leaf(parquet.Int64Type),
		"big":   parquet.Uint(64),
		"clock": parquet.Time(parquet.Microsecond),
		"id":    parquet.UUID(),
		"old":   parquet.Leaf(parquet.Int96Type),
		"raw":   parquet.Leaf(parquet.ByteArrayType),
		"tags":  parquet.Repeated(parquet.String()),
		"tree":  parquet.Group{"x": parquet.Leaf(parquet.DoubleType), "y": parquet.Leaf(parquet.DoubleType)},
		"z":     parquet.Leaf(parquet.DoubleType),
	}, map[string]any{"a": int64(3), "big": uint64(1 << 63), "clock": int64(5), "id": [16]byte{1}, "old": deprecated.Int96{1, 2, 3}, "raw": []byte{0xff, 0xfe},
		"tags": []string{"p", "q"}, "tree": map[string]any{"x": 1.0, "y": 2.0}, "z": 4.5})
	if strings.Join(got.Names(), " ") != "a z" {
		t.Errorf("columns %v", got.Names())
	}
	if v, err := got.Float("z"); err != nil || v[0] != 4.5 {
		t.Errorf("z = %v, %v", v, err)
	}
	for name, want := range map[string]string{"big": "9223372036854775808", "clock": "TIME", "id": "UUID", "old": "INT96", "raw": "raw bytes", "tags": "repeated", "tree": "nested"} {
		if _, err := got.Float(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %s named", name, err, want)
		}
	}
}

func TestHalfPrecision(t *testing.T) {
	kind, width := format.FixedLenByteArray, int32(2)
	m, err := meaningOf(format.SchemaElement{Type: &kind, TypeLength: &width, LogicalType: &format.LogicalType{Float16: &format.Float16Type{}}})
	if err != nil {
		t.Fatal(err)
	}
	for bits, want := range map[uint16]float64{0x3c00: 1, 0xc000: -2, 0x0001: math.Ldexp(1, -24), 0x7bff: 65504, 0xfc00: math.Inf(-1), 0x3555: 0.333251953125} {
		if got := m.float(parquet.FixedLenByteArrayValue([]byte{byte(bits), byte(bits >> 8)})); got != want {
			t.Errorf("%04x = %v, want %v", bits, got, want)
		}
	}
	if got := m.float(parquet.FixedLenByteArrayValue([]byte{1, 0x7e})); !math.IsNaN(got) {
		t.Errorf("NaN is %v", got)
	}
}
