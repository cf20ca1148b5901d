package report_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/collapse"
	"stuffed/pkg/figure"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

func untrained(t *testing.T) (mamba2.Model, *lm.Weights) {
	t.Helper()
	c := mamba2.Default(32, 2, 16)
	c.HeadDim, c.State = 16, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m, w
}

// A question is answered once: the second time the trace is found.
func TestLookKeepsTheTrace(t *testing.T) {
	m, w := untrained(t)
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	if err := models.Save(dir, m, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	ran := 0
	q := report.Question{Model: dir, Backend: "go", TrainLength: 32, Histogram: []int{15, 99}, Bins: 9,
		Source: trace.Source{Texts: prompt.Texts{Kind: "random", Vocab: 16, Length: 128, Count: 3}},
		Trace:  trace.Config{Bucket: 8, Channels: []int{0}, Batch: 3, Progress: func(int64, int64) { ran++ }}}
	first, err := report.Look(context.Background(), q, filepath.Join(root, "traces"))
	if err != nil {
		t.Fatal(err)
	}
	if ran == 0 || first.TrainLength != 32 || first.Counts.Rows() != 2*4*2*9 || first.Channels == nil {
		t.Errorf("%d pieces, %+v", ran, first)
	}
	ran = 0
	second, err := report.Look(context.Background(), q, filepath.Join(root, "traces"))
	if err != nil || ran != 0 || second.States.Rows() != first.States.Rows() || second.About.Files == nil {
		t.Errorf("%d pieces the second time, %v", ran, err)
	}
	layer, head := first.Worst()
	if heads := first.WorstHeads(layer, 2); len(heads) != 2 || heads[0] != head {
		t.Errorf("worst head %d, list %v", head, heads)
	}
	if _, calm := first.Calmest(); calm < 0 || report.Outcomes([]string{"a", "b"}, []*report.Seen{first, second}).Rows() != 2 {
		t.Error("outcomes")
	}
	q.TrainLength = 128
	if _, err := report.Look(context.Background(), q, root); err == nil || !strings.Contains(err.Error(), "not more than the training length 128") {
		t.Errorf("error %v", err)
	}
}

// Two who ask the same at the same time get one trace.
func TestLooksAtTheSameTakeTurns(t *testing.T) {
	m, w := untrained(t)
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	if err := models.Save(dir, m, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	var tokens atomic.Int64
	errs := make(chan error, 4)
	for range 4 {
		var before int64
		go func() {
			_, err := report.Look(context.Background(), report.Question{Model: dir, Backend: "go", TrainLength: 32,
				Source: trace.Source{Texts: prompt.Texts{Kind: "random", Vocab: 16, Length: 128, Count: 3}},
				Trace:  trace.Config{Bucket: 8, Batch: 3, Progress: func(done, _ int64) { tokens.Add(done - before); before = done }}}, root)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if tokens.Load() != 3*128 {
		t.Errorf("%d tokens traced, want %d", tokens.Load(), 3*128)
	}
}

// traced is a trace of an untrained model over two prompts, and its histograms.
func traced(t *testing.T) (tables map[string]*table.Table, histograms *table.Table) {
	t.Helper()
	_, w := untrained(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var probes []prompt.Probe
	for _, name := range []string{"a", "b"} {
		p := prompt.Probe{Name: name}
		for i := range 512 {
			p.IDs = append(p.IDs, int32(i*(i+int(name[0])))%16)
		}
		probes = append(probes, p)
	}
	r := lm.NewRunner(d, w)
	if tables, err = trace.Collect(context.Background(), r, probes, trace.Config{Bucket: 8, Channels: []int{1}, Batch: 2}); err != nil {
		t.Fatal(err)
	}
	if histograms, err = trace.Histograms(context.Background(), r, probes, []int{31, 511}, 21); err != nil {
		t.Fatal(err)
	}
	return tables, histograms
}

// Every function gives points that its spec can draw, and refuses what is not there.
func TestFiguresDraw(t *testing.T) {
	tables, histograms := traced(t)
	states, losses, channels := tables[trace.States], tables[trace.Losses], tables[trace.Channels]
	rule := collapse.DefaultRule(64)
	rule.M, rule.Resamples = 16, 50
	v, err := collapse.Judge(states, losses, rule)
	if err != nil {
		t.Fatal(err)
	}
	sweep, err := collapse.Sweep(states, losses, rule, collapse.DefaultGrid())
	if err != nil {
		t.Fatal(err)
	}
	ratios, err := report.Ratios(states, v)
	if err != nil {
		t.Fatal(err)
	}
	for i, left := range mustFloat(t, ratios, "retention") {
		if !(left >= 0 && left <= 1) || math.IsNaN(mustFloat(t, ratios, "ratio")[i]) {
			t.Errorf("row %d of the ratios: retention %g", i, left)
		}
	}
	for name, draw := range map[string]func() (report.Figure, error){
		"all heads": func() (report.Figure, error) { return report.AllHeads(states, "variance", 64) },
		"close-up": func() (report.Figure, error) {
			return report.CloseUp(states, 1, []int{0, 2}, 64, "mean", "variance", "absmax")
		},
		"one":       func() (report.Figure, error) { return report.CloseUp(states, 0, []int{1}, 64, "delta") },
		"histogram": func() (report.Figure, error) { return report.Histogram(histograms, 1, 3) },
		"retention": func() (report.Figure, error) { return report.Retention(states, 1, 64) },
		"channels":  func() (report.Figure, error) { return report.Channels(channels, 1, "B", 64) },
		"together":  func() (report.Figure, error) { return report.Together(states, losses, v) },
		"sweep":     func() (report.Figure, error) { return report.SweepMap(sweep, "explosion", "k", "m") },
		"ratio map": func() (report.Figure, error) {
			return report.HeadMap(ratios, "ratio", "explosion ratio", figure.Log2), nil
		},
		"no layer":   func() (report.Figure, error) { return report.CloseUp(states, 7, []int{0}, 64, "mean") },
		"no column":  func() (report.Figure, error) { return report.AllHeads(states, "median", 64) },
		"no channel": func() (report.Figure, error) { return report.Channels(channels, 0, "B", 64) },
		"no window":  func() (report.Figure, error) { return report.Retention(states, 9, 64) },
	} {
		f, err := draw()
		if strings.HasPrefix(name, "no ") {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		drawn, err := figure.New(f.Spec, f.Table)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if svg, err := drawn.SVG(); err != nil || len(svg) < 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(svg), err)
		}
	}
}

func mustFloat(t *testing.T, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
