package llama_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/llama"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference compares logits, caches and gradients with references from a float64 loop over tokens.
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
