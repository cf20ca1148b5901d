package bench_test

import (
	"fmt"

	"stuffed/pkg/bench"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// A row says what was run and in which unit; its median is of this machine.
func ExampleOperator() {
	device, err := xla.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	dims := recurrence.Dims{Batch: 1, Tokens: 8, Heads: 1, HeadDim: 4, Groups: 1, State: 4}
	for _, row := range bench.Operator(device, dims, true, 4, 1) {
		fmt.Println(row.Work, row.Shape, row.Unit, row.Median > 0)
	}
	// Output:
	// operator B1 T8 H1 P4 N4 (graph, chunk 4) forward ms true
	// operator B1 T8 H1 P4 N4 (graph, chunk 4) forward+backward ms true
}
