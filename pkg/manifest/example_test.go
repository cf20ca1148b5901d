package manifest_test

import (
	"fmt"

	"stuffed/pkg/manifest"
)

// The hash covers what determines the result, not the time or revision of the run.
func ExampleNew() {
	m, err := manifest.New(map[string]int{"bucket": 64}, 1)
	if err != nil {
		panic(err)
	}
	hash, err := m.Hash()
	if err != nil {
		panic(err)
	}
	fmt.Println(string(m.Options), hash, m.Date != "")
	// Output: {"bucket":64} 855a750fc0df true
}
