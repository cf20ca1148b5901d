package llama_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/llama"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference recomputes a model whose logits, caches and gradients were made by a loop over tokens in float64.
func TestReference(t *testing.T) {
	c, err := llama.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: llama.Model{Config: c}, Tensor: llama.Tensor, Device: d,
		Probes: map[string]string{"hidden.layers": lm.Residual}}.Check(t)
}

// TestConsistent holds the model to itself.
func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := llama.Default(16, 2, 13)
	c.Width, c.Heads, c.KVHeads, c.Head, c.Vocab, c.Intermediate = 16, 4, 2, 6, 13, 8
	archtest.Consistent(t, d, c)
}
