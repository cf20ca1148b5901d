package bench

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

func TestRowsOfASmallModel(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba2.Default(32, 1, 32)
	c.HeadDim, c.State = 16, 8
	w, err := initial(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rows := Operator(d, recurrence.Dims{Batch: 1, Tokens: 32, Heads: 2, HeadDim: 16, Groups: 1, State: 8}, true, 16, 1)
	rows = append(rows, Prefill(d, "tiny", w, lm.Options{}, 1, 16, 1)...)
	rows = append(rows, Decode(ctx, d, "tiny", w, lm.Options{}, 2, 4, 4, 1))
	rows = append(rows, Train(d, TrainSpec{Name: "tiny", Model: c, Batch: 2, Tokens: 16, Compute: "f32", Save: "all"}, 1)...)
	for _, r := range rows {
		if r.Work == "operator" && strings.Contains(r.Error, "BFloat16") {
			continue
		}
		if r.Error != "" || !(r.Median > 0 && r.Min <= r.Median && r.Median <= r.Max) || r.Unit == "" {
			t.Errorf("%+v", r)
		}
	}
	if bad := Train(d, TrainSpec{Name: "bad", Model: mamba2.Config{}, Batch: 1, Tokens: 8}, 1); bad[0].Error == "" {
		t.Errorf("a model without layers: %+v", bad)
	}
	report := NewReport(d)
	report.Rows = []Row{{Work: "train", Shape: "x", Unit: "tok/s", Median: 213000, Min: 1e3, Max: 2e6, Runs: 8}, {Work: "decode", Shape: "y", Error: "out of memory"}}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := report.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := Markdown(nil, path)
	if err != nil || !strings.Contains(text, "| train | x | 213K tok/s | 1K … 2M of 8 |") || !strings.Contains(text, "out of memory") {
		t.Errorf("%v\n%s", err, text)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Markdown(nil, path); err == nil || !strings.Contains(err.Error(), "r.json") {
		t.Errorf("a cut report: %v", err)
	}
}
