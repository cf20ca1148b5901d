package retnet_test

import (
	"fmt"

	"stuffed/pkg/arch/retnet"
)

// The state of a small RetNet: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := retnet.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 32768 32770
}
