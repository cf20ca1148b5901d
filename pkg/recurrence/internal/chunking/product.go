package chunking

import (
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Product is an einsum whose sums and result are out (float32 beside bfloat16 operands): that of GoMLX drops the dtype.
func Product(equation string, a, b *Node, out dtypes.DType) *Node {
	if a.DType() == b.DType() && a.DType() == out {
		return Einsum(equation, a, b)
	}
	if a.DType() != b.DType() {
		a, b = ConvertDType(a, out), ConvertDType(b, out)
		return Einsum(equation, a, b)
	}
	sides, result, _ := strings.Cut(equation, "->")
	left, right, _ := strings.Cut(sides, ",")
	var lc, lb, rc, rb []int
	var order string // axes as General puts them: batch, left, right
	for i, c := range left {
		j := strings.IndexRune(right, c)
		switch {
		case j >= 0 && strings.ContainsRune(result, c):
			lb, rb, order = append(lb, i), append(rb, j), order+string(c)
		case j >= 0:
			lc, rc = append(lc, i), append(rc, j)
		}
	}
	for _, c := range left {
		if !strings.ContainsRune(right, c) {
			order += string(c)
		}
	}
	for _, c := range right {
		if !strings.ContainsRune(left, c) {
			order += string(c)
		}
	}
	y := Dot(a, b).WithOutputDType(out).General(lc, lb, rc, rb)
	perm := make([]int, len(result))
	for i, c := range result {
		perm[i] = strings.IndexRune(order, c)
	}
	return TransposeAllAxes(y, perm...)
}
