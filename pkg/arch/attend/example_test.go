package attend_test

import (
	"fmt"

	"stuffed/pkg/arch/attend"
)

// The cache of a transformer of two layers with four heads of keys and values of 16 entries: it grows along the axis of positions.
func ExampleStates() {
	for _, s := range attend.States(2, 1, 4, 16) {
		fmt.Println(s.Name, s.Axes, s.Dims, s.Grows)
	}
	// Output:
	// kv.key [layer batch head position key] [2 1 4 1 16] true
	// kv.value [layer batch head position value] [2 1 4 1 16] true
	// kv.length [layer batch] [2 1] false
}
