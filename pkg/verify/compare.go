package verify

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/checkpoint"
)

// compare returns an error that names the worst entry where got differs from want by more than allowed.
func compare(got []float64, shape []int, want []float64, wantShape []int, allowed float64) error {
	if !slices.Equal(shape, wantShape) {
		return fmt.Errorf("shape is %v, the reference has %v", shape, wantShape)
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d values, the reference has %d", len(got), len(want))
	}
	worst, at := 0.0, -1
	for i := range want {
		d := math.Abs(got[i] - want[i])
		if got[i] == want[i] { // also equal infinities
			d = 0
		}
		if math.IsNaN(d) {
			return fmt.Errorf("entry %v is %g, the reference has %g", index(i, shape), got[i], want[i])
		}
		if d > worst || at < 0 {
			worst, at = d, i
		}
	}
	if worst > allowed {
		return fmt.Errorf("entry %v is %.9g, the reference has %.9g: differs by %.3g, allowed %.3g", index(at, shape), got[at], want[at], worst, allowed)
	}
	return nil
}

// index turns a flat index into one per axis.
func index(flat int, shape []int) []int {
	out := make([]int, len(shape))
	for a := len(shape) - 1; a >= 0; a-- {
		out[a], flat = flat%shape[a], flat/shape[a]
	}
	return out
}

// strict is what a float64 result may differ from a reference that was computed in float64.
func strict(reference *checkpoint.Tensor, values []float64) float64 {
	if reference.DType == "F64" {
		return 1e-11 * max(1, largestOf(values))
	}
	return 1.2e-7 * largestOf(values)
}

func readTensors(path string) (map[string]*checkpoint.Tensor, error) {
	file, err := checkpoint.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	return file.Tensors, nil
}

// rowsOf reads token ids [batch, tokens].
func rowsOf(t *checkpoint.Tensor) ([][]int32, error) {
	if len(t.Shape) != 2 {
		return nil, fmt.Errorf("token ids have shape %v, must be [batch, tokens]", t.Shape)
	}
	ids, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	rows := make([][]int32, t.Shape[0])
	for i, id := range ids {
		if id != int64(int32(id)) {
			return nil, fmt.Errorf("token id %d is outside the vocabulary", id)
		}
		rows[i/t.Shape[1]] = append(rows[i/t.Shape[1]], int32(id))
	}
	return rows, nil
}

// whole reads integers as int.
func whole(t *checkpoint.Tensor) ([]int, error) {
	v, err := t.Int64s()
	out := make([]int, len(v))
	for i := range v {
		out[i] = int(v[i])
	}
	return out, err
}
