package gateddeltanet_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gateddeltanet"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
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

// config.json of a model that does not erase says so where every library looks, and one that does is named as before.
func TestWithoutErasingHasAModelType(t *testing.T) {
	for _, erase := range []bool{true, false} {
		c := gateddeltanet.Default(32, 1, 13)
		c.Erase = erase
		keys, err := c.Keys()
		if err != nil {
			t.Fatal(err)
		}
		back, err := gateddeltanet.FromKeys(keys)
		if err != nil || back.Erase != erase || keys["erase"] != nil || (keys["model_type"] == gateddeltanet.Kind) != erase {
			t.Errorf("erase %v: %v, %v, %v", erase, keys, back, err)
		}
	}
}
