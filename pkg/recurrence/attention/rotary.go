package attention

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Rotate turns the first rotated entries of each head (arXiv 2104.09864): of x [batch, tokens, heads, key], entries i and
// i + rotated/2 by the angle position · theta^(−2i/rotated). positions are int32 [batch, tokens].
func Rotate(x, positions *Node, rotated int, theta float64) *Node {
	key := x.Shape().Dim(-1)
	if rotated < 0 || rotated > key || rotated%2 != 0 {
		panic(fmt.Errorf("attention: %d rotated entries must be even and at most %d", rotated, key))
	}
	if rotated == 0 {
		return x
	}
	frequencies := make([]float64, rotated/2)
	for i := range frequencies {
		frequencies[i] = math.Pow(theta, -2*float64(i)/float64(rotated))
	}
	angle := Mul(InsertAxes(ConvertDType(positions, dtypes.Float64), -1, -1), Reshape(Const(x.Graph(), frequencies), 1, 1, 1, rotated/2))
	cos, sin := ConvertDType(Cos(angle), x.DType()), ConvertDType(Sin(angle), x.DType())
	a, b := SliceAxis(x, -1, AxisRange(0, rotated/2)), SliceAxis(x, -1, AxisRange(rotated/2, rotated))
	parts := []*Node{Sub(Mul(a, cos), Mul(b, sin)), Add(Mul(b, cos), Mul(a, sin))}
	if rotated < key {
		parts = append(parts, SliceAxis(x, -1, AxisRangeToEnd(rotated)))
	}
	return Concatenate(parts, -1)
}
