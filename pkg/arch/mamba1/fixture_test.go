package mamba1_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/mamba1"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
func TestReference(t *testing.T) {
	c, err := mamba1.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: mamba1.Model{Config: c}, Tensor: mamba1.Tensor, Device: d, Probes: map[string]string{
		"stats.mean": lm.Sum, "stats.var": lm.Squares, "stats.log_decay": lm.LogAlpha, "stats.delta": "delta/channel"}}.Check(t)
}
