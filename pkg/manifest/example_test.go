package manifest_test

import (
	"fmt"

	"stuffed/pkg/manifest"
)

// What decides a result is in the manifest's hash; when and by which revision it was made is not.
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
