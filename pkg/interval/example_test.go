package interval_test

import (
	"fmt"

	"stuffed/pkg/interval"
)

// Losses of four models.
func ExampleStudent() {
	mean, low, high := interval.Student([]float64{2.1, 2.3, 2.2, 2.6})
	fmt.Printf("%.2f [%.2f, %.2f]\n", mean, low, high)
	// Output: 2.30 [1.96, 2.64]
}
