package intervene_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/arch/gla"
	"stuffed/pkg/intervene"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestNormLimitBetweenPieces: a model that has no limit inside its graph keeps its norms between pieces; a limit that no head reaches
// changes nothing, and one of almost 0 leaves a model that forgets all between pieces.
func TestNormLimitBetweenPieces(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := gla.Default(16, 2, 16)
	c.Heads, c.Intermediate, c.Chunk = 2, 16, 4
	m, err := c.New()
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := intervene.NewBench(lm.NewRunner(d, w))
	if err != nil {
		t.Fatal(err)
	}
	stream := datasets.NewRecallStream(4, 1)
	stream.Keys, stream.Values = 12, 4
	s := intervene.Suite{Stream: stream, TrainLength: 8, Multiples: []int{1, 4}, Sequences: 2, Split: "test"}
	run := func(norm float64, every int) []intervene.Score {
		method := intervene.Method{Name: "norm", NormEvery: every,
			Plan: intervene.Plan{{Kind: "norm_limit", Values: slices.Repeat([]float64{norm}, 4)}}}
		if every == 0 {
			method.Plan = nil
		}
		scores, err := s.Run(context.Background(), b, method)
		if err != nil {
			t.Fatal(err)
		}
		return scores
	}
	free, high, low := run(0, 0), run(1e6, 4), run(1e-9, 1)
	for i := range free {
		if math.Abs(free[i].Loss-high[i].Loss) > 1e-5 || math.Abs(free[i].Norm-high[i].Norm) > 1e-4 {
			t.Errorf("a limit that no head reaches: loss %g and norm %g, were %g and %g", high[i].Loss, high[i].Norm, free[i].Loss, free[i].Norm)
		}
	}
	if !(low[1].Norm < 0.8*free[1].Norm) || low[1].Loss == free[1].Loss {
		t.Errorf("a limit of almost 0 after every token: norm %g of %g in the window, loss %g and %g", low[1].Norm, free[1].Norm, low[1].Loss, free[1].Loss)
	}
	_, err = s.Run(context.Background(), b, intervene.Method{NormEvery: 4})
	if err == nil {
		t.Error("no limit was given")
	}
}
