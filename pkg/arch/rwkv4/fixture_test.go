package rwkv4_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv4"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
func TestReference(t *testing.T) {
	c, err := rwkv4.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: rwkv4.Model{Config: c}, Tensor: rwkv4.Tensor, Device: d, Probes: map[string]string{
		"stats.mean": lm.Sum, "stats.var": lm.Squares, "stats.log_decay": lm.LogAlpha}}.Check(t)
}
