package gateddeltanet_test

import (
	"fmt"

	"stuffed/pkg/arch/gateddeltanet"
)

// The state of a small Gated DeltaNet: heads per layer, recurrent scalars, and all scalars carried per sequence.
func ExampleConfig_Sizes() {
	s := gateddeltanet.Default(128, 2, 272).Sizes()
	fmt.Println(s.Heads, s.Recurrent, s.Carried)
	// Output: 1 16384 17920
}
