package deltarule_test

import (
	"fmt"

	"stuffed/pkg/arch/deltarule"
)

// The state of two layers with two heads each, key size 16 and value size 32.
func ExampleStateSpec() {
	s := deltarule.StateSpec(2, 1, 2, 16, 32)
	heads, values, keys := s.Matrices()
	fmt.Println(s.Name, s.Axes, heads, values, keys)
	// Output: state [layer batch head key value] 2 32 16
}
