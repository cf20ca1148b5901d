package fla_test

import (
	"fmt"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/lm"
)

// A matrix of all layers is a single tensor here, and one tensor per layer in a folder.
func ExampleTensor() {
	name, dims := fla.Tensor(lm.Spec{Name: "attn.q_proj.weight", Role: lm.Matrix, Layered: true, Dims: []int{2, 1, 64, 128}}, 1)
	fmt.Println(name, dims)
	// Output: model.layers.1.attn.q_proj.weight [64 128]
}
