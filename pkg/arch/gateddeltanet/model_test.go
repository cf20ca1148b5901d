package gateddeltanet_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gateddeltanet"
	"stuffed/xla"
)

// TestReference recomputes a model whose logits, states and gradients were made by a loop over tokens in float64.
func TestReference(t *testing.T) {
	c, err := gateddeltanet.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: gateddeltanet.Model{Config: c}, Tensor: fla.Tensor, Device: d, Probes: fla.References}.Check(t)
}
