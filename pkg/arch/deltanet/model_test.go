package deltanet_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/deltanet"
	"stuffed/pkg/arch/fla"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
func TestReference(t *testing.T) {
	c, err := deltanet.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: deltanet.Model{Config: c}, Tensor: fla.Tensor, Device: d, Probes: fla.References}.Check(t)
}
