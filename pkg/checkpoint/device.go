package checkpoint

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// FromDevice copies a tensor of float32, float64 or int32 (which becomes I64) to the host.
func FromDevice(t *tensors.Tensor) (*Tensor, error) {
	dims := slices.Clone(t.Shape().Dimensions)
	switch t.DType() {
	case dtypes.Float32:
		v, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, err
		}
		return FromFloat32(dims, v)
	case dtypes.Float64:
		v, err := tensors.CopyFlatData[float64](t)
		if err != nil {
			return nil, err
		}
		return FromFloat64(dims, v)
	case dtypes.Int32:
		v, err := tensors.CopyFlatData[int32](t)
		if err != nil {
			return nil, err
		}
		wide := make([]int64, len(v))
		for i := range v {
			wide[i] = int64(v[i])
		}
		return FromInt64(dims, wide)
	}
	return nil, fmt.Errorf("a tensor of %s cannot be written, want float32, float64 or int32", t.Shape())
}

// ToDevice copies the tensor to a device tensor of the given shape, of float32, float64 or int32; a mismatch of dimensions is an error.
func (t *Tensor) ToDevice(s shapes.Shape) (*tensors.Tensor, error) {
	if !slices.Equal(t.Shape, s.Dimensions) {
		return nil, fmt.Errorf("shape %v, must be %v", t.Shape, s.Dimensions)
	}
	switch s.DType {
	case dtypes.Float32:
		v, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(v, s.Dimensions...), nil
	case dtypes.Float64:
		v, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(v, s.Dimensions...), nil
	case dtypes.Int32:
		wide, err := t.Int64s()
		if err != nil {
			return nil, err
		}
		v := make([]int32, len(wide))
		for i := range wide {
			v[i] = int32(wide[i])
		}
		return tensors.FromFlatDataAndDimensions(v, s.Dimensions...), nil
	}
	return nil, fmt.Errorf("a tensor of %s cannot be read, want float32, float64 or int32", s)
}
