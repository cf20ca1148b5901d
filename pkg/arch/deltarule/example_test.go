package deltarule_test

import (
	"fmt"

	"stuffed/pkg/arch/deltarule"
)

// The state of two layers of two heads with keys of 16 and values of 32 entries.
func ExampleStateSpec() {
	s := deltarule.StateSpec(2, 1, 2, 16, 32)
	heads, values, keys := s.Matrices()
	fmt.Println(s.Name, s.Axes, heads, values, keys)
	// Output: state [layer batch head key value] 2 32 16
}
