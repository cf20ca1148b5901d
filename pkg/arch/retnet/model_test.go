package retnet_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/retnet"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
func TestReference(t *testing.T) {
	c, err := retnet.FromKeys(archtest.Keys(t, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Fixture{Dir: "testdata", Model: retnet.Model{Config: c}, Tensor: fla.Tensor, Device: d, Probes: fla.References}.Check(t)
}

// TestConsistent checks the model's ways of computing against each other.
func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := retnet.Default(16, 2, 13)
	c.Heads, c.KVHeads, c.Intermediate, c.Chunk = 4, 2, 8, 4
	archtest.Consistent(t, d, c)
}
