package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	rows = append(rows, Prefill(t.Context(), d, "tiny", w, lm.Options{}, 1, 16, 1)...)
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
	for revision, said := range map[string]bool{"": true, "c0ffee": false} {
		report.Revision = revision
		if err := report.Write(path); err != nil {
			t.Fatal(err)
		}
		if text, err := Markdown(nil, path); err != nil || strings.Contains(text, "not recorded in r.json") != said {
			t.Errorf("revision %q: %v\n%s", revision, err, text)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Markdown(nil, path); err == nil || !strings.Contains(err.Error(), "r.json") {
		t.Errorf("a cut report: %v", err)
	}
}

// Two models in turn: the note holds the ratio of their rates.
func TestTrainBeside(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba2.Default(16, 1, 32)
	c.HeadDim, c.State = 8, 4
	s := TrainSpec{Name: "tiny", Model: c, Batch: 1, Tokens: 16, Compute: "f32", Save: "all"}
	wide := s
	wide.Batch = 16
	for _, r := range trainBeside(d, s, wide, 3) {
		var ratio float64
		if _, err := fmt.Sscanf(r.Note, "%f", &ratio); err != nil || r.Error != "" || !(ratio > 0) || !(r.Median > 0) || r.Runs != 3 {
			t.Errorf("%+v", r)
		}
	}
	if bad := trainBeside(d, TrainSpec{Name: "bad", Model: mamba2.Config{}, Batch: 1, Tokens: 8}, s, 1); bad[0].Error == "" {
		t.Errorf("a model without layers: %+v", bad)
	}
}

// Every operator runs forward and with gradients in all of its inputs.
func TestOperatorsRun(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dims := OperatorDims{Batch: 1, Tokens: 20, Heads: 2, Key: 4, Value: 8}
	seen := map[string]bool{}
	for _, c := range operatorCases(dims) {
		c.chunk = min(c.chunk, 16)
		seen[c.name] = true
		rows := c.run(d, dims, 1, false)
		if len(rows) != 2 {
			t.Errorf("%s: %+v", c.name, rows)
		}
		for _, r := range rows {
			if r.Error != "" || !(r.Median > 0) || r.Unit != "ms" {
				t.Errorf("%+v", r)
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("operators %v", seen)
	}
}

func TestBesideTakesTheFastestOther(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own.json", `{"device": "D", "rows": [
		{"work": "operator", "shape": "B1 (kernels) forward", "unit": "ms", "median": 2},
		{"work": "train", "shape": "small × 6 models", "unit": "tok/s", "median": 3000},
		{"work": "trace", "shape": "long", "unit": "tok/s", "median": 5},
		{"work": "train", "shape": "large", "unit": "tok/s", "error": "out of memory"}]}`)
	peers := write("peers.json", `{"name": "other", "device": "D", "rows": [
		{"work": "operator", "shape": "B1 (chunk 128) forward", "unit": "ms", "median": 5},
		{"work": "operator", "shape": "B1 (chunk 256) forward", "unit": "ms", "median": 4},
		{"work": "train", "shape": "small", "unit": "tok/s", "median": 1000, "note": "one model"},
		{"work": "train", "shape": "large", "unit": "tok/s", "median": 7},
		{"work": "prefill", "shape": "small", "unit": "tok/s", "median": 9}]}`)
	elsewhere := write("elsewhere.json", `{"name": "third", "device": "E", "rows": [{"work": "train", "shape": "small", "unit": "tok/s", "median": 9000}]}`)
	text, err := Beside(nil, own, peers, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| operator | B1 (kernels) forward | 2 ms | 4 ms, other | 2 | D |",
		"| train | small × 6 models | 3K tok/s | 1K tok/s, other, one model | 3 | D |",
		"| trace | long | 5 tok/s |  |  | D |",
		"| train | large | failed |  |  | D |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Count(text, "\n") != 6 {
		t.Errorf("lines:\n%s", text)
	}
}

func TestFrontNamesEveryRow(t *testing.T) {
	paths, err := filepath.Glob("../../bench/results/*.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := Front(nil, paths...)
	if err != nil || strings.Count(text, "\n") != 2+len(front) || len(front) > 8 {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := Front(nil, paths[0]); err == nil || !strings.Contains(err.Error(), "bench/results") {
		t.Errorf("a row that is not there: %v", err)
	}
	if _, err := Markdown(nil, "../../bench/against/h200.json"); err == nil || !strings.Contains(err.Error(), "comparisons") {
		t.Errorf("a comparison, which has no medians: %v", err)
	}
}

func TestOperatorsByName(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	emit := func(r Row) error { seen = append(seen, strings.Fields(r.Shape)[0]); return nil }
	err = operators(t.Context(), d, Options{Operators: []string{"gla", "glad"}}, emit)
	if err == nil || !strings.Contains(err.Error(), `"glad" is unknown; choose from retention, gla,`) || len(seen) > 0 {
		t.Errorf("error %v after %v", err, seen)
	}
	if err := operators(t.Context(), d, Options{Operators: []string{"retention"}, Only: []string{"train"}}, emit); err != nil || len(seen) > 0 {
		t.Errorf("work that was not asked for: %v, %v", seen, err)
	}
	if err := operators(t.Context(), d, Options{Operators: []string{"retention"}}, emit); err != nil || !slices.Equal(seen, []string{"retention", "retention"}) {
		t.Errorf("%v, %v", seen, err)
	}
}
