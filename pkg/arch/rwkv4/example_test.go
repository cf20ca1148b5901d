package rwkv4_test

import (
	"fmt"

	"stuffed/pkg/arch/rwkv4"
)

// The state of a small RWKV-4: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := rwkv4.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 1 512 1280
}
