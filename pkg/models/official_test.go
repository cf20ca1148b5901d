package models_test

import (
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
	if err := models.Save(t.TempDir()+"/x", m, w, 0, "official", "F32"); err == nil {
		t.Error("a layout that is read only was written")
	}
}
