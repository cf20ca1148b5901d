package recurrence_test

import (
	"fmt"

	"stuffed/pkg/recurrence"
)

// One head of one channel and one state entry: h = ½ h + x from zero, and y = h.
func ExampleNaive() {
	y, state := recurrence.Naive(recurrence.Sequence{
		Dims:  recurrence.Dims{Batch: 1, Tokens: 3, Heads: 1, HeadDim: 1, Groups: 1, State: 1},
		X:     []float64{4, 0, 1},
		Delta: []float64{1, 1, 1},
		A:     []float64{-0.6931471805599453},
		B:     []float64{1, 1, 1},
		C:     []float64{1, 1, 1},
	}, nil)
	fmt.Printf("%.3f %.3f\n", y, state)
	// Output: [4.000 2.000 2.000] [2.000]
}
