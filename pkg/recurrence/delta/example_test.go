package delta_test

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/delta"
	"stuffed/xla"
)

// Two writes under one key: a share β of 1 replaces the first value by the second, where a sum would read 5.
func ExampleChunk() {
	dev, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	key := [][][][]float32{{{{1, 0}}, {{1, 0}}}} // [batch, tokens, heads, key]
	value := [][][][]float32{{{{2}}, {{3}}}}
	beta := [][][]float32{{{1}, {1}}}
	rule := MustNewExec(dev.Backend, func(k, v, beta *Node) *Node {
		return delta.Chunk(delta.Rule(k, k, v, nil, beta), 64).Y
	})
	fmt.Println(rule.MustCall(key, value, beta)[0].Value())
	// Output: [[[[2]] [[3]]]]
}

// The same by hand, in float64.
func ExampleNaive() {
	key := []float64{1, 0, 1, 0}
	_, state := delta.Naive(delta.Sequence{Dims: delta.Dims{Batch: 1, Tokens: 2, Heads: 1, Key: 2, Value: 1},
		Q: key, K: key, V: []float64{2, 3}, Erase: key, Read: key}, nil)
	fmt.Println(state)
	// Output: [3 0]
}
