package hgrn2_test

import (
	"fmt"

	"stuffed/pkg/arch/hgrn2"
)

// The state of a small HGRN-2: what the recurrence carries for a sequence, and all that is carried.
func ExampleConfig_Sizes() {
	s := hgrn2.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 16384
}
