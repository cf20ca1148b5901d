package checkpoint

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestHalfExact checks all 65,536 values of both 16-bit formats: widening, and narrowing back to the same bits.
func TestHalfExact(t *testing.T) {
	for _, dtype := range []string{"F16", "BF16"} {
		all := &Tensor{DType: dtype, Shape: []int{1 << 16}}
		for i := range 1 << 16 {
			all.Data = binary.LittleEndian.AppendUint16(all.Data, uint16(i))
		}
		wide, err := all.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		exponentBits, fractionBits := 5, 10
		if dtype == "BF16" {
			exponentBits, fractionBits = 8, 7
		}
		for i, got := range wide {
			exponent, fraction := i>>fractionBits&(1<<exponentBits-1), float64(i&(1<<fractionBits-1))
			scale, bias := math.Ldexp(1, -fractionBits), 1<<(exponentBits-1)-1
			want := math.Ldexp(1+fraction*scale, exponent-bias)
			switch {
			case exponent == 1<<exponentBits-1 && fraction > 0:
				want = math.NaN()
			case exponent == 1<<exponentBits-1:
				want = math.Inf(1)
			case exponent == 0:
				want = math.Ldexp(fraction*scale, 1-bias)
			}
			if i>>15 == 1 {
				want = -want
			}
			if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || got == 0 && math.Signbit(got) != (i>>15 == 1) {
				t.Fatalf("%s %#04x: got %g, want %g", dtype, i, got, want)
			}
		}
		f32, err := all.Convert("F32")
		if err != nil {
			t.Fatal(err)
		}
		back, err := f32.Convert(dtype)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1 << 16 {
			got := binary.LittleEndian.Uint16(back.Data[2*i:])
			if int(got) != i && !math.IsNaN(wide[i]) {
				t.Fatalf("%s %#04x came back as %#04x", dtype, i, got)
			}
		}
	}
}

// TestRounding compares narrowing to BF16 with the bit rule for float32 inputs: add half a step, ties to even.
func TestRounding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 20000)
	for i := range values {
		values[i] = math.Float32frombits(r.Uint32())
	}
	x, err := FromFloat32([]int{len(values)}, values)
	if err != nil {
		t.Fatal(err)
	}
	y, err := x.Convert("BF16")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if v != v {
			continue
		}
		bits := math.Float32bits(v)
		want := uint16((bits + 0x7fff + bits>>16&1) >> 16)
		if got := binary.LittleEndian.Uint16(y.Data[2*i:]); got != want {
			t.Fatalf("%g: got %#04x, want %#04x", v, got, want)
		}
	}
	for v, want := range map[float64]uint32{65519: 0x7bff, 65520: 0x7c00, 1.0 / (1 << 25): 0, 1.0 / (1 << 24): 1, 2049: 0x6800, 2051: 0x6802, -1: 0xbc00} {
		if got := roundBits(v, 5, 10); got != want {
			t.Errorf("F16 of %g is %#04x, want %#04x", v, got, want)
		}
	}
}

func TestReadersNameTheDType(t *testing.T) {
	ints, err := FromInt64([]int{2}, []int64{1, -2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ints.Float32s(); err == nil || !strings.Contains(err.Error(), "I64[2]") {
		t.Errorf("error %v", err)
	}
	floats, err := FromFloat64([]int{1}, []float64{0.1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := floats.Int64s(); err == nil || !strings.Contains(err.Error(), "F64[1]") {
		t.Errorf("error %v", err)
	}
	if _, err := floats.Convert("I64"); err == nil {
		t.Error("conversion of floats to I64 was accepted")
	}
	if _, err := FromFloat32([]int{3}, []float32{1}); err == nil || !strings.Contains(err.Error(), "needs 3") {
		t.Errorf("error %v", err)
	}
	for dtype, data := range map[string][]byte{"I32": {255, 255, 255, 255}, "I16": {255, 255}, "I8": {255}} {
		got, err := (&Tensor{DType: dtype, Shape: []int{1}, Data: data}).Int64s()
		if err != nil || got[0] != -1 {
			t.Errorf("%s: %v %v", dtype, got, err)
		}
	}
	if _, err := (&Tensor{DType: "U64", Shape: []int{1}, Data: []byte{255, 255, 255, 255, 255, 255, 255, 255}}).Int64s(); err == nil {
		t.Error("2^64-1 was accepted as int64")
	}
}
