package checkpoint

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

// TestTorchComesBack: what is written is what the restricted reader reads, shapes with ones and nothing and all dtypes among it.
func TestTorchComesBack(t *testing.T) {
	tensors := map[string]*Tensor{}
	for name, shape := range map[string][]int{"scalar": {}, "vector": {3}, "matrix.weight": {2, 5}, "spread": {1, 1, 4}, "nothing": {0, 7}} {
		n := 1
		for _, d := range shape {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i) - 1.5
		}
		var err error
		if tensors[name], err = FromFloat32(shape, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, dtype := range []string{"F64", "F16", "BF16"} {
		x, err := tensors["matrix.weight"].Convert(dtype)
		if err != nil {
			t.Fatal(err)
		}
		tensors[dtype] = x
	}
	ids, err := FromInt64([]int{2}, []int64{-1, 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	tensors["ids"] = ids
	path := filepath.Join(t.TempDir(), "model.pth")
	if err := WriteTorch(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTorch(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Tensors) != len(tensors) {
		t.Errorf("%d tensors came back of %d", len(got.Tensors), len(tensors))
	}
	for name, want := range tensors {
		if x := got.Tensors[name]; x == nil || x.DType != want.DType || !slices.Equal(x.Shape, want.Shape) || !bytes.Equal(x.Data, want.Data) {
			t.Errorf("%s came back as %+v", name, x)
		}
	}
	if err := WriteTorch(path, map[string]*Tensor{"x": nil}, nil); err == nil {
		t.Error("a missing tensor is no error")
	}
	if again, err := ReadTorch(path); err != nil || len(again.Tensors) != len(tensors) {
		t.Errorf("a failed write left %v", err)
	}
}
