//go:build !noxla

package xla

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla/internal/gomlx"
)

// MarkDonor lets XLA reuse a parameter's memory for an output of the same shape (jax.buffer_donor). The caller must also donate
// the argument's buffer. On the Go backend it does nothing.
func MarkDonor(param *Node) {
	v := gomlx.Value(param)
	if v == nil {
		return
	}
	if (*v).Attributes == nil {
		(*v).Attributes = map[string]any{}
	}
	(*v).Attributes["jax.buffer_donor"] = true
}
