package rwkv7_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference recomputes a model whose logits, states and gradients were made by a loop over tokens in float64.
func TestReference(t *testing.T) {
	c, err := rwkv7.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: rwkv7.Model{Config: c}, Tensor: rwkv7.Tensor, Device: d,
		Probes: map[string]string{"hidden.layers": lm.Residual, "stats.mean": lm.Sum, "stats.var": lm.Squares, "stats.log_decay": lm.LogAlpha}}.Check(t)
}
