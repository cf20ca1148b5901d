package eval_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/collapse"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
)

// TestJudgeSeesTheSameLossesAsLoss joins trace and detector for two kinds and compares their mean losses with CompareLoss.
func TestJudgeSeesTheSameLossesAsLoss(t *testing.T) {
	m := &models.Opened{Runner: runner(t, "go", small(8), 1), Dir: "preset:small"}
	kinds := []eval.Labelled{
		{"a recall stream", prompt.Texts{Kind: "recall", Length: 65, Count: 3, Recall: datasets.RecallStream{Keys: 5, Values: 3, Gap: 4}}},
		{"one token", prompt.Texts{Kind: "constant", Token: 2, Length: 65}},
	}
	got, err := eval.Judge(context.Background(), m, kinds, collapse.DefaultRule(16), 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(texts(t, got.Table, "kind"), []string{"a recall stream", "one token"}) || len(got.Full) != 2 {
		t.Fatal(got.Table.Columns)
	}
	want, err := eval.CompareLoss(context.Background(), m, kinds, eval.Loss{Bucket: 8}, filepath.Join(t.TempDir(), "compared"))
	if err != nil {
		t.Fatal(err)
	}
	losses := map[string]map[int64]float64{}
	for i, k := range texts(t, want, "kind") {
		if losses[k] == nil {
			losses[k] = map[int64]float64{}
		}
		losses[k][ints(t, want, "position")[i]] = floats(t, want, "loss")[i]
	}
	inside := map[string]float64{}
	for i, k := range texts(t, got.Curves, "kind") {
		at := ints(t, got.Curves, "position")[i]
		if l := floats(t, got.Curves, "loss")[i]; math.Abs(l-losses[k][at]) > 1e-5 {
			t.Errorf("%s at %d: loss %g, want %g", k, at, l, losses[k][at])
		}
		if at < 16 {
			inside[k] = max(inside[k], floats(t, got.Curves, "growth")[i])
		}
	}
	if len(losses["one token"]) != 8 || inside["one token"] != 1 || inside["a recall stream"] != 1 {
		t.Errorf("%d buckets; growth inside the window %v, want at most and somewhere 1", len(losses["one token"]), inside)
	}
	_, err = eval.Judge(context.Background(), m, kinds, collapse.DefaultRule(64), 8, nil)
	wantError(t, err, "a recall stream")
}
