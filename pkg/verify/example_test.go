package verify_test

import (
	"context"
	"fmt"

	"stuffed/pkg/verify"
	"stuffed/xla"
)

// A folder of a model with reference tensors: logits, states and gradients that a loop over tokens made in float64.
func ExampleRun() {
	device, err := xla.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := verify.Run(context.Background(), device, []string{"../arch/gla/testdata"}, nil)
	fmt.Println(sum.Failed, sum.Passed > 0, err)
	// Output: 0 true <nil>
}
