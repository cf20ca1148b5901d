package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Float32s returns the values of a tensor of any float dtype. F16, BF16 and F32 are exact, F64 is rounded to nearest.
func (t *Tensor) Float32s() ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if t.DType == "F64" {
		out := make([]float32, len(t.Data)/8)
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		}
		return out, nil
	}
	decode, size, err := t.float32Decoder()
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(t.Data)/size)
	for i := range out {
		out[i] = decode(t.Data[size*i:])
	}
	return out, nil
}

// Float64s returns the values of a tensor of any float dtype, exactly.
func (t *Tensor) Float64s() ([]float64, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if t.DType == "F64" {
		out := make([]float64, len(t.Data)/8)
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
		}
		return out, nil
	}
	decode, size, err := t.float32Decoder()
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(t.Data)/size)
	for i := range out {
		out[i] = float64(decode(t.Data[size*i:]))
	}
	return out, nil
}

func (t *Tensor) float32Decoder() (func([]byte) float32, int, error) {
	switch t.DType {
	case "F32":
		return func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }, 4, nil
	case "BF16":
		return func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }, 2, nil
	case "F16":
		return func(b []byte) float32 { return halfToFloat32(binary.LittleEndian.Uint16(b)) }, 2, nil
	}
	return nil, 0, fmt.Errorf("tensor is %s, want a float dtype: F64 F32 F16 BF16", t)
}

// Int64s returns the values of a tensor of any integer dtype or BOOL (0 and 1).
func (t *Tensor) Int64s() ([]int64, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	size := dtypeSizes[t.DType]
	out := make([]int64, len(t.Data)/size)
	for i := range out {
		b := t.Data[size*i:]
		switch t.DType {
		case "I64":
			out[i] = int64(binary.LittleEndian.Uint64(b))
		case "I32":
			out[i] = int64(int32(binary.LittleEndian.Uint32(b)))
		case "I16":
			out[i] = int64(int16(binary.LittleEndian.Uint16(b)))
		case "I8":
			out[i] = int64(int8(b[0]))
		case "U64":
			v := binary.LittleEndian.Uint64(b)
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("element %d is %d, larger than 2^63-1", i, v)
			}
			out[i] = int64(v)
		case "U32":
			out[i] = int64(binary.LittleEndian.Uint32(b))
		case "U16":
			out[i] = int64(binary.LittleEndian.Uint16(b))
		case "U8":
			out[i] = int64(b[0])
		case "BOOL":
			if b[0] != 0 {
				out[i] = 1
			}
		default:
			return nil, fmt.Errorf("tensor is %s, want an integer dtype: I64 I32 I16 I8 U64 U32 U16 U8 BOOL", t)
		}
	}
	return out, nil
}

// Convert returns the tensor in another float dtype (F64 F32 F16 BF16), rounding to nearest, ties to even; values too large for F16
// become infinite. The same dtype returns the tensor itself.
func (t *Tensor) Convert(dtype string) (*Tensor, error) {
	if dtype == t.DType {
		return t, t.Check()
	}
	if !isFloat(dtype) {
		return nil, fmt.Errorf("cannot convert %s to %q: the target must be one of F64 F32 F16 BF16", t, dtype)
	}
	wide, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	size := dtypeSizes[dtype]
	out := &Tensor{DType: dtype, Shape: slices.Clone(t.Shape), Data: make([]byte, size*len(wide))}
	for i, v := range wide {
		b := out.Data[size*i:]
		switch dtype {
		case "F64":
			binary.LittleEndian.PutUint64(b, math.Float64bits(v))
		case "F32":
			binary.LittleEndian.PutUint32(b, math.Float32bits(float32(v)))
		case "BF16":
			binary.LittleEndian.PutUint16(b, uint16(roundBits(v, 8, 7)))
		case "F16":
			binary.LittleEndian.PutUint16(b, uint16(roundBits(v, 5, 10)))
		}
	}
	return out, nil
}

func isFloat(dtype string) bool {
	return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16"
}

// halfToFloat32 widens an IEEE 754 binary16.
func halfToFloat32(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, int(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	case 0:
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	}
	return math.Float32frombits(sign | uint32(exponent+112)<<23 | fraction<<13)
}

// roundBits rounds v once, to nearest even, to a float of the given exponent and fraction widths and returns its bits.
func roundBits(v float64, exponentBits, fractionBits uint) uint32 {
	top := uint32(1)<<exponentBits - 1
	sign := uint32(0)
	if math.Signbit(v) {
		sign = 1 << (exponentBits + fractionBits)
	}
	switch {
	case math.IsNaN(v):
		return sign | top<<fractionBits | 1<<(fractionBits-1)
	case math.IsInf(v, 0):
		return sign | top<<fractionBits
	case v == 0:
		return sign
	}
	bias := int(top >> 1)
	_, exponent := math.Frexp(v)
	exponent = max(exponent-1, 1-bias) // below 1-bias the numbers are subnormal and evenly spaced
	steps := uint64(math.RoundToEven(math.Ldexp(math.Abs(v), int(fractionBits)-exponent)))
	// A normal number has the hidden bit set in steps, which adds one to the exponent field; a carry past it adds another.
	bits := uint64(exponent+bias-1)<<fractionBits + steps
	if bits >= uint64(top)<<fractionBits {
		return sign | top<<fractionBits
	}
	return sign | uint32(bits)
}
