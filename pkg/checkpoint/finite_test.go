package checkpoint

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

func TestWeightsThatAreNotFiniteAreNamed(t *testing.T) {
	for _, dtype := range []string{"F64", "F32", "F16", "BF16"} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			weights := tensorOf(t, dtype, 1, -2, 3, 4, 5, bad)
			weights.Shape = []int{2, 3}
			m := &Model{Tensors: map[string]*Tensor{"layers.0.in_proj": weights}}
			if err := m.CheckFinite(); err == nil || !strings.Contains(err.Error(), `"layers.0.in_proj": 1 of its`) || !strings.Contains(err.Error(), "[1 2]") {
				t.Errorf("%s, %v: %v", dtype, bad, err)
			}
		}
	}
	m := &Model{Tensors: map[string]*Tensor{"layers.0.A_log": tensorOf(t, "F32", 0, math.Inf(-1))}}
	if err := m.CheckFinite(); err != nil {
		t.Errorf("a head that forgets nothing: %v", err)
	}
}

func tensorOf(t *testing.T, dtype string, values ...float64) *Tensor {
	t.Helper()
	wide := &Tensor{DType: "F64", Shape: []int{len(values)}}
	for _, v := range values {
		wide.Data = binary.LittleEndian.AppendUint64(wide.Data, math.Float64bits(v))
	}
	out, err := wide.Convert(dtype)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
