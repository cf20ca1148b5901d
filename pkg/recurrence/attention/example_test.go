package attention_test

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/attention"
	"stuffed/xla"
)

// With equal keys every token reads the mean of the values so far.
func ExampleChunk() {
	dev, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	same := [][][][]float32{{{{1}}, {{1}}, {{1}}}} // [batch, tokens, heads, key]
	values := [][][][]float32{{{{2}}, {{4}}, {{9}}}}
	mean := MustNewExec(dev.Backend, func(k, v *Node) *Node {
		return attention.Chunk(attention.Operands{Q: k, K: k, V: v}, 64).Y
	})
	fmt.Println(mean.MustCall(same, values)[0].Value())
	// Output: [[[[2]] [[3]] [[5]]]]
}
