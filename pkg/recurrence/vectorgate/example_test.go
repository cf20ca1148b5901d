package vectorgate_test

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/xla"
)

// One head of one key: a half is kept at every token, and y reads the state.
func ExampleNaive() {
	y, state := vectorgate.Naive(vectorgate.Sequence{
		Dims: vectorgate.Dims{Batch: 1, Tokens: 3, Heads: 1, Keys: 1, Values: 1},
		Q:    []float64{1, 1, 1}, K: []float64{1, 1, 1}, V: []float64{8, 0, 4},
		LogDecay: []float64{-0.6931471805599453, -0.6931471805599453, -0.6931471805599453},
	}, nil)
	fmt.Printf("%.3g %.3g\n", y, state)
	// Output: [8 4 6] [6]
}

// The same as a graph. With a bonus of 0 a token does not see its own write.
func ExampleChunk() {
	device, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	y := MustNewExec(device.Backend, func(one, v, bonus *Node) *Node {
		y, _ := vectorgate.Chunk(vectorgate.Operands{Q: one, K: one, V: v, LogDecay: MulScalar(one, -0.6931471805599453), Bonus: bonus}, 16)
		return y
	}).MustCall([][][][]float64{{{{1}}, {{1}}, {{1}}}}, [][][][]float64{{{{8}}, {{0}}, {{4}}}}, [][]float64{{0}})[0]
	fmt.Println(y.Value())
	// Output: [[[[0]] [[8]] [[4]]]]
}
