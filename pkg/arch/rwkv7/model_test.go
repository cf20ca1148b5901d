package rwkv7_test

import (
	"strings"
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestReference compares logits, states and gradients with references from a float64 loop over tokens.
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

// TestNormOfHeadsKeepsItsBias: norm_bias is of the other norms; published models have this one in any case.
func TestNormOfHeadsKeepsItsBias(t *testing.T) {
	c := rwkv7.Default(64, 2, 32)
	c.NormBias = false
	var biases []string
	for _, s := range (rwkv7.Model{Config: c}).Parameters(1) {
		if strings.HasSuffix(s.Name, "norm.bias") {
			biases = append(biases, s.Name)
		}
	}
	if len(biases) != 1 || biases[0] != "attn.g_norm.bias" {
		t.Errorf("biases of norms %q, want that of heads alone", biases)
	}
}
