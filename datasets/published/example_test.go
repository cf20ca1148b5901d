package published_test

import (
	"fmt"

	"stuffed/datasets/published"
)

// Each law comes with the points that it was fitted to.
func ExampleOf() {
	for _, name := range published.Laws {
		law, err := published.Of(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		points, err := published.Thresholds(name)
		fmt.Println(name, law.R2, len(points), err)
	}
	// Output:
	// forget 0.999 6 <nil>
	// recall 0.999 6 <nil>
}
