// Package checkpoint reads and writes model weights and training snapshots; all input is treated as untrusted.
//
// Weights: safetensors (single and sharded), the zip form of PyTorch's torch.save through a restricted unpickler that runs no
// code, and the two Mamba-2 folder layouts in use, "huggingface" (transformers, Mamba2ForCausalLM) and "official" (mamba_ssm,
// MambaLMHeadModel). Whatever the layout, [LoadModel] returns tensors under the Hugging Face names and a config with the Hugging
// Face keys. Snapshots: folders of files with SHA-256 sums that appear complete or not at all.
package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Tensor is a dense row-major array of little-endian numbers.
//
// DType is one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL. Shape is empty for a scalar. Tensors that were read from one
// shared storage (tied weights) share Data, so treat Data as read-only.
type Tensor struct {
	DType string
	Shape []int
	Data  []byte
}

var dtypeSizes = map[string]int{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}

// DTypeSize returns the bytes per element of a dtype, or an error that lists the known ones.
func DTypeSize(dtype string) (int, error) {
	if size, ok := dtypeSizes[dtype]; ok {
		return size, nil
	}
	return 0, fmt.Errorf("dtype %q is not supported: use one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL", dtype)
}

// elements returns the product of the dimensions, or an error for a negative dimension or a product beyond the int range.
func elements(shape []int) (int, error) {
	n := 1
	for i, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d of shape %v is negative", i, shape)
		}
		if d > 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v has more than 2^63-1 elements", shape)
		}
		n *= d
	}
	return n, nil
}

func byteSize(dtype string, shape []int) (int, error) {
	size, err := DTypeSize(dtype)
	if err != nil {
		return 0, err
	}
	n, err := elements(shape)
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt/size {
		return 0, fmt.Errorf("shape %v of %s has more than 2^63-1 bytes", shape, dtype)
	}
	return n * size, nil
}

// Check reports whether dtype, shape and data agree.
func (t *Tensor) Check() error {
	want, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if len(t.Data) != want {
		return fmt.Errorf("%s tensor of shape %v needs %d bytes, has %d", t.DType, t.Shape, want, len(t.Data))
	}
	return nil
}

// Len returns the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// String returns dtype and shape, for messages.
func (t *Tensor) String() string { return fmt.Sprintf("%s%v", t.DType, t.Shape) }

// SameStorage reports whether both tensors are the same view of the same memory, as tied weights are.
func (t *Tensor) SameStorage(o *Tensor) bool {
	return t.DType == o.DType && slices.Equal(t.Shape, o.Shape) && len(t.Data) > 0 && len(t.Data) == len(o.Data) && &t.Data[0] == &o.Data[0]
}

func newTensor(dtype string, shape []int, n int) (*Tensor, error) {
	t := &Tensor{DType: dtype, Shape: slices.Clone(shape)}
	want, err := elements(shape)
	if err != nil {
		return nil, err
	}
	if want != n {
		return nil, fmt.Errorf("shape %v needs %d values, got %d", shape, want, n)
	}
	t.Data = make([]byte, n*dtypeSizes[dtype])
	return t, nil
}

// FromFloat32 makes an F32 tensor; the number of values must be the product of shape.
func FromFloat32(shape []int, values []float32) (*Tensor, error) {
	t, err := newTensor("F32", shape, len(values))
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v))
	}
	return t, nil
}

// FromFloat64 makes an F64 tensor; the number of values must be the product of shape.
func FromFloat64(shape []int, values []float64) (*Tensor, error) {
	t, err := newTensor("F64", shape, len(values))
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		binary.LittleEndian.PutUint64(t.Data[8*i:], math.Float64bits(v))
	}
	return t, nil
}

// FromInt64 makes an I64 tensor; the number of values must be the product of shape.
func FromInt64(shape []int, values []int64) (*Tensor, error) {
	t, err := newTensor("I64", shape, len(values))
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		binary.LittleEndian.PutUint64(t.Data[8*i:], uint64(v))
	}
	return t, nil
}
