package mamba2_test

import (
	"fmt"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// The size of the official 130M model and of the state that it reads any length with.
func ExampleNew() {
	m, err := mamba2.New(mamba2.Default(768, 24, 50288))
	if err != nil {
		panic(err)
	}
	parameters, state := 0, 0
	for _, s := range m.Parameters(1) {
		parameters += s.Size()
	}
	for _, s := range m.State(1) {
		if s.Role == lm.Recurrent {
			state += s.Size()
		}
	}
	fmt.Printf("%.0fM parameters, %.1fM numbers of recurrent state\n", float64(parameters)/1e6, float64(state)/1e6)
	// Output: 129M parameters, 4.7M numbers of recurrent state
}
