package rwkv5_test

import (
	"fmt"

	"stuffed/pkg/arch/rwkv5"
)

// The state of a small RWKV-5: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := rwkv5.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 16896
}
