package rwkv

import (
	"fmt"

	"stuffed/pkg/lm"
)

// Tensor is the published name and shape of a parameter in one layer, or of one outside (layer −1). Spread vectors are stored
// as [1, 1, n].
func Tensor(s lm.Spec, layer int, spread bool) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	if dims = s.Dims[2:]; spread {
		dims = append([]int{1, 1}, dims...)
	}
	return fmt.Sprintf("rwkv.blocks.%d.%s", layer, s.Name), dims
}
