package models_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// TestOfficialRWKV7 reads a .pth without config.json: the weights of the folder in the other layout, and ε as its code has it.
func TestOfficialRWKV7(t *testing.T) {
	m, w, err := models.Load("testdata/rwkv7", dtypes.Float64)
	if err != nil {
		t.Fatal(err)
	}
	other, want, err := models.Load("../arch/rwkv7/testdata", dtypes.Float64)
	if err != nil {
		t.Fatal(err)
	}
	c, o := m.Configuration().(rwkv7.Config), other.Configuration().(rwkv7.Config)
	if c.GroupEps != 64e-5 {
		t.Errorf("ε of the heads' norm is %g", c.GroupEps)
	}
	if c.GroupEps = 0; c.Hash() != o.Hash() && (c.Layers != o.Layers || c.Head != o.Head || c.DecayRank != o.DecayRank || c.ValueRank != o.ValueRank) {
		t.Errorf("read %+v, the other layout says %+v", c, o)
	}
	for i, s := range want.Specs {
		a, err := lm.Float64s(w.Values[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := lm.Float64s(want.Values[i])
		if err != nil {
			t.Fatal(err)
		}
		for j := range b {
			if a[j] != b[j] {
				t.Fatalf("%s: entry %d is %g, want %g", s.Name, j, a[j], b[j])
			}
		}
	}
	c.Eps = 1e-6
	if odd, err := c.New(); err != nil {
		t.Error(err)
	} else if err := models.Save(t.TempDir()+"/x", odd, w, 0, "official", "F32"); err == nil || !strings.Contains(err.Error(), "save as huggingface") {
		t.Errorf("an ε that BlinkDL's code does not have: %v", err)
	}
}

// TestOfficialComesBack: what is written in the layout of the authors is read as the same model, with the same numbers; RWKV's file
// by its own name too.
func TestOfficialComesBack(t *testing.T) {
	for _, name := range []string{"mamba1/byte", "rwkv4/byte", "rwkv5/byte", "rwkv6/byte", "rwkv7/byte"} {
		c, err := lm.Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = lm.Override(c, `{"hidden_size":64,"vocab_size":24}`); err != nil {
			t.Fatal(err)
		}
		m, err := c.New()
		if err != nil {
			t.Fatal(err)
		}
		w, err := lm.InitialWeights(m, 5)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "model")
		if err := models.Save(dir, m, w, 0, "official", "F32"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		path := dir
		if strings.HasPrefix(name, "rwkv") {
			path = filepath.Join(dir, "model.pth")
		}
		for _, path := range []string{dir, path} {
			again, got, err := models.Load(path, dtypes.Float32)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			sameNumbers(t, name, got, w)
			if a, b := again.Configuration().Sizes(), c.Sizes(); a != b {
				t.Errorf("%s came back as %+v, was %+v", name, a, b)
			}
			if n, err := models.TrainLength(path, 77); err != nil || n != 77 {
				t.Errorf("%s: trained on %d tokens, %v", name, n, err)
			}
		}
	}
}

// sameNumbers compares parameters, except what has no effect in the first layer of RWKV-7 and is not in files.
func sameNumbers(t *testing.T, name string, got, want *lm.Weights) {
	t.Helper()
	for i, s := range want.Specs {
		a, err := lm.Floats(got.Values[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := lm.Floats(want.Values[i])
		if err != nil {
			t.Fatal(err)
		}
		first := 0
		if strings.HasPrefix(s.Name, "attn.v_lora.") {
			first = len(b) / s.Dims[0]
		}
		if !slices.Equal(a[first:], b[first:]) {
			t.Errorf("%s: %s is not what was saved", name, s.Name)
		}
	}
}
