package gptneox_test

import (
	"fmt"

	"stuffed/pkg/arch/gptneox"
)

// The memory of a small GPT-NeoX grows with the text: heads per layer, recurrent scalars (none), and scalars carried for a single token.
func ExampleConfig_Sizes() {
	s := gptneox.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 0 512
}
