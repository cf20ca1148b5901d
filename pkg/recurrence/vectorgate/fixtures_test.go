package vectorgate_test

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/pkg/recurrence/vectorgate"
)

var byToken = []string{"q", "k", "v", "g", "gk", "f"}

func scaled(q *Node) *Node { return MulScalar(q, 1/math.Sqrt(float64(q.Shape().Dim(-1)))) }

// TestReferenceCasesGLA recomputes float64 autograd: both sides of a chunk, extreme gates, packed documents, raw gates.
func TestReferenceCasesGLA(t *testing.T) {
	optest.Fixtures(t, "testdata/gla/*.safetensors", 5, byToken, func(by map[string]*Node, segments *Node) (y, state *Node) {
		decay := by["g"]
		if raw := by["gk"]; raw != nil {
			decay = vectorgate.LogSigmoid(raw, 16)
		}
		return vectorgate.Chunk(vectorgate.Operands{Q: scaled(by["q"]), K: by["k"], V: by["v"], LogDecay: decay, Initial: by["h0"], Segments: segments}, 64)
	})
}

// TestReferenceCasesHGRN2 does with forget gates over a lower bound [heads, keys].
func TestReferenceCasesHGRN2(t *testing.T) {
	optest.Fixtures(t, "testdata/hgrn2/*.safetensors", 4, byToken, func(by map[string]*Node, segments *Node) (y, state *Node) {
		decay, key := vectorgate.Forget(by["f"], by["lower_bound"])
		return vectorgate.Chunk(vectorgate.Operands{Q: scaled(by["q"]), K: key, V: by["v"], LogDecay: decay, Initial: by["h0"], Segments: segments}, 64)
	})
}
