package deltanet_test

import (
	"fmt"

	"stuffed/pkg/arch/deltanet"
)

// The state of a small DeltaNet: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := deltanet.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 2 16384 18688
}
