package hgrn2_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/hgrn2"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
func TestReference(t *testing.T) {
	c, err := hgrn2.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: hgrn2.Model{Config: c}, Tensor: fla.Tensor, Device: d, Probes: fla.References}.Check(t)
}
