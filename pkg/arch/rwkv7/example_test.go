package rwkv7_test

import (
	"fmt"

	"stuffed/pkg/arch/rwkv7"
)

// The state of a small RWKV-7: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := rwkv7.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 16896
}
