package hgrn2_test

import (
	"fmt"

	"stuffed/pkg/arch/hgrn2"
)

// The state of a small HGRN-2: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := hgrn2.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 16384
}
