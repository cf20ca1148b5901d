package toy_test

import (
	"fmt"

	"stuffed/pkg/arch/toy"
)

// The tensors of the state by name, role and axes: nothing above package lm knows more of an architecture.
func ExampleModel_State() {
	c := toy.Default()
	c.Vocab = 256
	m, err := c.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range m.State(1) {
		fmt.Println(s.Name, s.Role, s.Axes, s.Dims)
	}
	// Output:
	// previous shift [layer batch channel] [2 1 12]
	// memory recurrent [layer batch head key value] [2 1 2 4 3]
	// normaliser recurrent [layer batch head key] [2 1 2 4]
}
