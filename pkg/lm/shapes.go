package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

func shapeOf(labels *graph.Node, vocab int) shapes.Shape {
	return shapes.Make(dtypes.Int32, append(append([]int{}, labels.Shape().Dimensions...), vocab)...)
}
