package mamba1_test

import (
	"fmt"

	"stuffed/pkg/arch/mamba1"
)

// The state of a small Mamba: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := mamba1.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 1 8192 9728
}
