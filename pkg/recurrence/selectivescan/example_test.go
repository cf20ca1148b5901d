package selectivescan_test

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/selectivescan"
	"stuffed/xla"
)

// One channel of one state that keeps a half at every token.
func ExampleNaive() {
	y, state := selectivescan.Naive(selectivescan.Sequence{
		Dims: selectivescan.Dims{Batch: 1, Tokens: 3, Channels: 1, State: 1},
		X:    []float64{8, 0, 4}, Delta: []float64{1, 1, 1}, A: []float64{-math.Ln2}, B: []float64{1, 1, 1}, C: []float64{1, 1, 1},
	}, nil)
	fmt.Printf("%.3g %.3g\n", y, state)
	// Output: [8 4 6] [6]
}

// The same as a graph.
func ExampleChunk() {
	device, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	y := MustNewExec(device.Backend, func(x, one *Node) *Node {
		a := MulScalar(Ones(x.Graph(), x.Shape()), -math.Ln2)
		y, _ := selectivescan.Chunk(selectivescan.Operands{X: x, Delta: one, A: Reshape(SliceAxis(a, 1, AxisElem(0)), 1, 1), B: one, C: one}, 16)
		return y
	}).MustCall([][][]float64{{{8}, {0}, {4}}}, [][][]float64{{{1}, {1}, {1}}})[0]
	fmt.Println(y.Value())
	// Output: [[[8] [4] [6]]]
}
