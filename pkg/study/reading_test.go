package study

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// Inside and far are the means of the losses by token, and the first sequence of newlines holds nothing else.
func TestReadingIsThatOfALoop(t *testing.T) {
	dir, err := filepath.Abs("../../datasets/models/bytes/mamba2")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // for the cache of tokens
	m, err := models.Open(dir, "go", "bytes")
	if err != nil {
		t.Fatal(err)
	}
	r := Reading{PromptConfig{Kinds: []string{newlines}, Split: "test", Sequences: 1, Lead: 64}, 512}
	got, err := r.Read(context.Background(), dir, m.Runner)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	row := make([]int32, 512)
	for i := range row {
		row[i] = '\n'
	}
	var losses []float64
	if _, err := m.Run(context.Background(), [][]int32{row}, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
		for _, v := range p.Loss {
			losses = append(losses, float64(v))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got      float64
		from, to int
	}{"inside": {got[0].Inside, 64, 128}, "far": {got[0].Far, 256, 511}} {
		want := 0.0
		for _, v := range losses[c.from:c.to] {
			want += v / float64(c.to-c.from)
		}
		if math.Abs(c.got-want) > 1e-9 {
			t.Errorf("%s %g, want %g", name, c.got, want)
		}
	}
	if got[0].Weights != "e587992de06a" || got[0].TrainLength != 128 {
		t.Errorf("%+v", got[0])
	}
	if _, err := (Reading{r.Prompts, 256}).Read(context.Background(), dir, m.Runner); err == nil {
		t.Error("256 tokens are enough to judge T 128")
	}
}
