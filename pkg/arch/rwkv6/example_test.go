package rwkv6_test

import (
	"fmt"

	"stuffed/pkg/arch/rwkv6"
)

// The state of a small RWKV-6: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := rwkv6.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 16896
}
