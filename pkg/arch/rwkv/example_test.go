package rwkv_test

import (
	"fmt"

	"stuffed/pkg/arch/rwkv"
)

// The time mix is as wide as the model by default.
func ExampleOutline_Mix() {
	fmt.Println(rwkv.Outline{Width: 128}.Mix(), rwkv.Outline{Width: 128, Attention: 256}.Mix())
	// Output: 128 256
}
