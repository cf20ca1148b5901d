package llama_test

import (
	"fmt"

	"stuffed/pkg/arch/llama"
)

// The memory of a small Llama grows with the text: heads per layer, recurrent scalars (none), and scalars carried for a single token.
func ExampleConfig_Sizes() {
	s := llama.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 0 512
}
