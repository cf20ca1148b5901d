package table

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// meaning converts stored values according to the column's logical type; exactly one field is set.
type meaning struct {
	integer func(parquet.Value) (int64, error)
	float   func(parquet.Value) float64
	text    func(parquet.Value) (string, error)
}

// meaningOf returns the conversion for a flat column, or an error that names its unsupported type.
func meaningOf(e format.SchemaElement) (meaning, error) {
	kind, l := parquet.Kind(*e.Type), logicalOf(e)
	switch {
	case l.Decimal != nil:
		return decimal(kind, int(l.Decimal.Scale))
	case l.Float16 != nil:
		return meaning{float: func(v parquet.Value) float64 { return half(v.ByteArray()) }}, nil
	case l.Integer != nil && !l.Integer.IsSigned:
		return meaning{integer: unsigned(kind)}, nil
	case l.Date != nil:
		return meaning{text: func(v parquet.Value) (string, error) {
			return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly), nil
		}}, nil
	case l.Timestamp != nil:
		unit := unitOf(l.Timestamp.Unit)
		return meaning{text: func(v parquet.Value) (string, error) {
			n := int64(time.Second / unit)
			seconds := v.Int64() / n
			return time.Unix(seconds, (v.Int64()-seconds*n)*int64(unit)).UTC().Format(time.RFC3339Nano), nil
		}}, nil
	case l.Time != nil, l.UUID != nil, l.Bson != nil:
		return meaning{}, fmt.Errorf("holds %v, which is not read", &l)
	}
	switch kind {
	case parquet.Boolean:
		return meaning{integer: func(v parquet.Value) (int64, error) {
			if v.Boolean() {
				return 1, nil
			}
			return 0, nil
		}}, nil
	case parquet.Int32:
		return meaning{integer: func(v parquet.Value) (int64, error) { return int64(v.Int32()), nil }}, nil
	case parquet.Int64:
		return meaning{integer: func(v parquet.Value) (int64, error) { return v.Int64(), nil }}, nil
	case parquet.Float:
		return meaning{float: func(v parquet.Value) float64 { return float64(v.Float()) }}, nil
	case parquet.Double:
		return meaning{float: parquet.Value.Double}, nil
	case parquet.ByteArray:
		return meaning{text: utf8Text}, nil
	}
	return meaning{}, fmt.Errorf("holds values of kind %v, want integers, decimals, floats, dates or strings", kind)
}

// logicalOf returns the column's logical type, translating the converted type that older writers use instead.
func logicalOf(e format.SchemaElement) format.LogicalType {
	switch {
	case e.LogicalType != nil:
		return *e.LogicalType
	case e.ConvertedType == nil:
		return format.LogicalType{}
	}
	unsigned := func(bits int8) format.LogicalType {
		return format.LogicalType{Integer: &format.IntType{BitWidth: bits}}
	}
	stamp := func(unit format.TimeUnit) format.LogicalType {
		return format.LogicalType{Timestamp: &format.TimestampType{IsAdjustedToUTC: true, Unit: unit}}
	}
	switch *e.ConvertedType {
	case deprecated.Decimal:
		d := &format.DecimalType{}
		if e.Scale != nil {
			d.Scale = *e.Scale
		}
		return format.LogicalType{Decimal: d}
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return unsigned(64)
	case deprecated.Date:
		return format.LogicalType{Date: &format.DateType{}}
	case deprecated.TimestampMillis:
		return stamp(format.TimeUnit{Millis: &format.MilliSeconds{}})
	case deprecated.TimestampMicros:
		return stamp(format.TimeUnit{Micros: &format.MicroSeconds{}})
	case deprecated.TimeMillis, deprecated.TimeMicros:
		return format.LogicalType{Time: &format.TimeType{}}
	case deprecated.Bson:
		return format.LogicalType{Bson: &format.BsonType{}}
	}
	return format.LogicalType{}
}

// decimal decodes unscaled/10^scale to the nearest float64.
func decimal(kind parquet.Kind, scale int) (meaning, error) {
	power := new(big.Float).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, 0))), nil))
	scaled := func(n *big.Int) float64 {
		v, _ := new(big.Float).Quo(new(big.Float).SetPrec(200).SetInt(n), power).Float64()
		return v
	}
	switch kind {
	case parquet.Int32:
		return meaning{float: func(v parquet.Value) float64 { return scaled(big.NewInt(int64(v.Int32()))) }}, nil
	case parquet.Int64:
		return meaning{float: func(v parquet.Value) float64 { return scaled(big.NewInt(v.Int64())) }}, nil
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return meaning{float: func(v parquet.Value) float64 { return scaled(complement(v.ByteArray())) }}, nil
	}
	return meaning{}, fmt.Errorf("holds decimals as %v", kind)
}

// complement decodes a big-endian two's-complement integer.
func complement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

func unsigned(kind parquet.Kind) func(parquet.Value) (int64, error) {
	if kind == parquet.Int32 {
		return func(v parquet.Value) (int64, error) { return int64(uint32(v.Int32())), nil }
	}
	return func(v parquet.Value) (int64, error) {
		if v.Int64() < 0 {
			return 0, fmt.Errorf("holds the unsigned number %d, at most 2^63−1 can be read", uint64(v.Int64()))
		}
		return v.Int64(), nil
	}
}

// half decodes a little-endian IEEE 754 half-precision number.
func half(b []byte) float64 {
	bits := uint16(b[0]) | uint16(b[1])<<8
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		if v = math.Inf(1); fraction != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if bits>>15 != 0 {
		v = -v
	}
	return v
}

func utf8Text(v parquet.Value) (string, error) {
	if !utf8.Valid(v.ByteArray()) {
		return "", errors.New("holds raw bytes, which are not text")
	}
	return string(v.ByteArray()), nil
}

func unitOf(u format.TimeUnit) time.Duration {
	switch {
	case u.Millis != nil:
		return time.Millisecond
	case u.Micros != nil:
		return time.Microsecond
	}
	return time.Nanosecond
}
