package stack_test

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/stack"
	"stuffed/xla"
)

// A vector of mean square 1 stays as it is; its scale does not matter.
func ExampleRMSNorm() {
	device, err := xla.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	norm := MustNewExec(device.Backend, func(x *Node) *Node { return stack.RMSNorm(x, nil, 0) })
	fmt.Println(norm.MustCall([]float64{1, -1, 1, -1})[0].Value(), norm.MustCall([]float64{5, 5})[0].Value())
	// Output: [1 -1 1 -1] [1 1]
}
