package gla_test

import (
	"fmt"

	"stuffed/pkg/arch/gla"
)

// The state of a small Gated Linear Attention: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := gla.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 8192 8192
}
