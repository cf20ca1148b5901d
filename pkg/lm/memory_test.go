package lm_test

import (
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

func preset(t testing.TB, name string) mamba2.Model {
	t.Helper()
	c, err := mamba2.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEstimateCountsParametersAndStates(t *testing.T) {
	m := preset(t, "130m")
	parameters := int64(0)
	for _, s := range m.Parameters(1) {
		parameters += int64(s.Size())
	}
	read := lm.Estimate(m, lm.Load{Batch: 2, Tokens: 512})
	train := lm.Estimate(m, lm.Load{Batch: 2, Tokens: 512, Train: true})
	if read.Parameters != 4*parameters || train.Parameters != 16*parameters {
		t.Errorf("parameters take %d and %d bytes, there are %d", read.Parameters, train.Parameters, parameters)
	}
	recurrent := int64(24 * 24 * 64 * 128)
	if window := int64(24 * 4 * (2*768 + 256)); read.State != 2*2*4*(recurrent+window) {
		t.Errorf("states take %d bytes", read.State)
	}
	if read.Logits != 0 || train.Logits != 3*2*512*50288*4 {
		t.Errorf("logits take %d and %d bytes", read.Logits, train.Logits)
	}
	if more := lm.Estimate(m, lm.Load{Batch: 2, Tokens: 1024}); more.Activations <= read.Activations || train.Activations <= 4*read.Activations {
		t.Errorf("activations: %d, of twice the tokens %d, in training %d", read.Activations, more.Activations, train.Activations)
	}
}

func TestFitSaysWhatWouldFit(t *testing.T) {
	m := preset(t, "130m")
	gib := int64(1) << 30
	if err := lm.Fit(m, lm.Load{Batch: 16, Tokens: 2048, Train: true, Half: true}, 80*gib); err != nil {
		t.Errorf("what trained on 80 GB: %v", err)
	}
	for _, c := range []struct {
		load   lm.Load
		memory int64
		wants  string
	}{
		{lm.Load{Batch: 64, Tokens: 8192, Train: true}, 80 * gib, "sequences of 8192 tokens would fit"},
		{lm.Load{Batch: 4, Tokens: 1 << 24, Logits: true}, 16 * gib, "1 sequence of "},
		{lm.Load{Batch: 1, Tokens: 1, Train: true}, gib, "not even one sequence of 1 token"},
	} {
		err := lm.Fit(m, c.load, c.memory)
		if err == nil || !strings.Contains(err.Error(), c.wants) || !strings.Contains(err.Error(), "GiB") {
			t.Errorf("%+v: error %v, want one with %q", c.load, err, c.wants)
		}
	}
	if err := lm.Fit(m, lm.Load{Batch: 64, Tokens: 8192, Train: true}, 0); err != nil {
		t.Errorf("unknown memory: %v", err)
	}
}

func TestOperationsAreAboutTwicePerWeight(t *testing.T) {
	for _, name := range []string{"byte", "130m", "370m", "2.7b"} {
		m := preset(t, name)
		parameters := 0
		for _, s := range m.Parameters(1) {
			parameters += s.Size()
		}
		forward, train := lm.Operations(m)
		if ratio := forward / float64(2*parameters); ratio < 1 || ratio > 1.7 || train != 3*forward {
			t.Errorf("%s: %g operations a token, %d parameters", name, forward, parameters)
		}
	}
}
