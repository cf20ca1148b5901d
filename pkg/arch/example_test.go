package arch_test

import (
	"fmt"

	_ "stuffed/pkg/arch"
	"stuffed/pkg/lm"
)

// Importing the package makes configurations of every architecture known by their names.
func Example() {
	for _, name := range []string{"gla", "rwkv7", "llama"} {
		a, err := lm.ArchitectureOf(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		c, err := lm.Override(a.Default(), `{"vocab_size": 256}`)
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := c.New()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m.Name(), lm.MainState(m).Name)
	}
	// Output:
	// gla state
	// rwkv7 state
	// llama kv.key
}
