package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"

	"stuffed/pkg/checkpoint"
)

// A tensor goes to a safetensors file in bfloat16 and comes back as float32.
func ExampleWriteSafetensors() {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(dir)
	t, err := checkpoint.FromFloat32([]int{2, 2}, []float32{1, 0.5, -2, 3})
	check(err)
	t, err = t.Convert("BF16")
	check(err)
	path := filepath.Join(dir, "model.safetensors")
	check(checkpoint.WriteSafetensors(path, map[string]*checkpoint.Tensor{"weight": t}, nil))

	file, err := checkpoint.ReadSafetensors(path)
	check(err)
	t, err = file.Tensor("weight")
	check(err)
	values, err := t.Float32s()
	check(err)
	fmt.Println(t.DType, t.Shape, values)
	// Output: BF16 [2 2] [1 0.5 -2 3]
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
