package models_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

func TestDescribe(t *testing.T) {
	for name, wants := range map[string][]string{
		tiny:          {`"heads"`, "100904 (394 KiB", "6144 scalars", "7584 scalars", "model folder"},
		"370m":        {"preset", "48", "about", "12582912 scalars"},
		"preset:byte": {"preset", `"width": 128`},
	} {
		var b strings.Builder
		if err := models.Describe(name, nil, &b); err != nil {
			t.Error(err)
		}
		for _, want := range wants[1:] {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, b.String())
			}
		}
	}
	if err := models.Describe("9b", nil, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "130m") {
		t.Errorf("unknown preset: %v", err)
	}
}

func TestContinueWritesTheText(t *testing.T) {
	o, err := models.Open("preset:byte", "go", "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := models.Continue(context.Background(), o, "ab", 5, 1, lm.Sampling{Chunk: 2}, &b); err != nil {
		t.Fatal(err)
	}
	got, err := o.Generate(context.Background(), [][]int32{{'a', 'b'}}, 5, lm.Sampling{Stop: []int32{256}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, id := range got[0] {
		if id < 256 {
			want = append(want, byte(id))
		}
	}
	if b.String() != string(want)+"\n" {
		t.Errorf("wrote %q, the tokens are %q", b.String(), want)
	}
	if err := models.Continue(context.Background(), o, "ab", 5, 0, lm.Sampling{}, &b); err == nil || !strings.Contains(err.Error(), "count = 0") {
		t.Errorf("count 0: %v", err)
	}
}

func TestLoadsShippedModelsByName(t *testing.T) {
	m, w, err := models.Load("../../datasets/models/recall-n128-t64", dtypes.Float32)
	if err != nil || m.Name() != "mamba2" || w.Count() == 0 {
		t.Fatalf("%v, %v", m, err)
	}
}
