package report_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// TestKindsSeeTheSameLossesAsLoss joins trace and detector for two kinds and compares their mean losses with CompareLoss, and
// those of the recall stream with eval.Recall.
func TestKindsSeeTheSameLossesAsLoss(t *testing.T) {
	c := mamba2.Default(16, 2, 8)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	model, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(model, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "small")
	if err := models.Save(dir, model, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	m, err := models.Open(dir, "go", "")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []eval.Labelled{
		{Label: "a recall stream", Texts: prompt.Texts{Kind: "recall", Length: 65, Count: 3, Recall: datasets.RecallStream{Keys: 5, Values: 3, Gap: 4}}},
		{Label: "one token", Texts: prompt.Texts{Kind: "constant", Token: 2, Length: 65}},
	}
	q := report.Question{Model: dir, Backend: "go", TrainLength: 16, Trace: trace.Config{Bucket: 8, Columns: []string{"norm"}}}
	got, err := report.LookAtKinds(context.Background(), q, kinds, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(texts(t, got.Verdicts, "kind"), []string{"a recall stream", "one token"}) || len(got.Seen) != 2 {
		t.Fatal(got.Verdicts.Columns)
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
	losses["a recall stream"] = ofRepeats(t, m, kinds[0].Texts, 8)
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
	q.TrainLength = 64
	_, err = report.LookAtKinds(context.Background(), q, kinds, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "a recall stream") {
		t.Errorf("a trace within the training length: %v", err)
	}
}

// ofRepeats is the loss at values of repeated pairs by bucket, mean over sequences.
func ofRepeats(t *testing.T, m *models.Opened, texts prompt.Texts, bucket int) map[int64]float64 {
	t.Helper()
	var edges []int
	for at := 0; at < texts.Length-1; at += bucket {
		edges = append(edges, at)
	}
	out, n := map[int64]float64{}, map[int64]float64{}
	for i := range texts.Count {
		r, err := eval.Recall{Stream: texts.Recall, Sequences: 1, Length: texts.Length, TrainLength: 16, Edges: edges, First: eval.HeldOut + int64(i)}.Run(context.Background(), m.Runner)
		if err != nil {
			t.Fatal(err)
		}
		for k, at := range ints(t, r.ByPosition, "position") {
			if v := floats(t, r.ByPosition, "loss")[k]; !math.IsNaN(v) {
				out[at], n[at] = out[at]+v, n[at]+1
			}
		}
	}
	for at := range out {
		out[at] /= n[at]
	}
	return out
}

func floats(t testing.TB, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ints(t testing.TB, tab *table.Table, name string) []int64 {
	t.Helper()
	v, err := tab.Int(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func texts(t testing.TB, tab *table.Table, name string) []string {
	t.Helper()
	v, err := tab.Text(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Models of several architectures stand side by side; one whose memory is a cache has losses and no verdict.
func TestLookAtModels(t *testing.T) {
	all := []report.Named{{Label: "gla", Model: "preset:gla/byte", TrainLength: 16}, {Label: "llama", Model: "preset:llama/byte", TrainLength: 16}}
	sizes, err := report.Sizes(all)
	if err != nil {
		t.Fatal(err)
	}
	grows, err := sizes.Int("grows")
	if err != nil || grows[0] != 0 || grows[1] != 1 {
		t.Errorf("grows %v: %v", grows, err)
	}
	kinds := []eval.Labelled{{Label: "newlines", Texts: prompt.Texts{Kind: "newlines", Length: 49}}}
	q := report.Question{Backend: "go", Trace: trace.Config{Bucket: 8, Columns: []string{"norm"}}}
	got, err := report.LookAtModels(context.Background(), q, all, kinds, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(texts(t, got.Verdicts, "model"), []string{"gla"}) {
		t.Errorf("verdicts of %v, want gla alone", texts(t, got.Verdicts, "model"))
	}
	n := map[string]int{}
	loss, err := got.Curves.Float("loss")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range texts(t, got.Curves, "model") {
		if n[m]++; !(loss[i] > 4 && loss[i] < 8) {
			t.Errorf("%s: loss %g before training, want about ln 272", m, loss[i])
		}
	}
	if n["gla"] != n["llama"] || n["gla"] < 6 {
		t.Errorf("curves have %v points", n)
	}
}
