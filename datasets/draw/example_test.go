package draw_test

import (
	"fmt"

	"stuffed/datasets/draw"
)

// A stream hands out what its key gives at each place: data can be made from anywhere on.
func Example() {
	key := draw.Key(7, "tokens", 3) // of seed 7, sequence 3
	s := draw.New(key)
	s.Uint64()
	fmt.Println(s.Uint64() == draw.At(key, 1))
	// Output: true
}
