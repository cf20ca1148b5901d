package report

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"stuffed/pkg/atomic"
	"stuffed/pkg/collapse"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Question is a model, what it reads and what is watched meanwhile.
type Question struct {
	Model       string // folder
	Backend     string // empty for auto
	TrainLength int    // tokens, where the model's folder does not tell
	Source      trace.Source
	Trace       trace.Config
	Histogram   []int // tokens after which the entries of the states are counted
	Bins        int   // 0 means 101
	Rule        func(trainLength int) collapse.Rule

	open func() (*models.Opened, error) // where several questions share a model
}

// Seen is the answer: tables, verdict and how they came to be.
type Seen struct {
	TrainLength      int
	States, Losses   *table.Table // losses of the recall stream are those at values of repeated pairs
	Channels, Counts *table.Table // nil unless asked for
	Window           *table.Table // nil unless asked for
	Verdict          *collapse.Verdict
	About            *manifest.Manifest
}

// opened is the model on the device that reads.
func (q Question) opened() (*models.Opened, error) {
	if q.open != nil {
		return q.open()
	}
	return models.Open(q.Model, q.Backend, "")
}

// Look traces a model, once for every question, keeps the trace in a folder of root, and judges it.
func Look(ctx context.Context, q Question, root string) (*Seen, error) {
	if q.Bins == 0 {
		q.Bins = 101
	}
	s := &Seen{}
	var err error
	if s.TrainLength, err = models.TrainLength(q.Model, q.TrainLength); err != nil {
		return nil, err
	}
	c := q.Trace
	c.Beyond = s.TrainLength
	m, err := models.Open(q.Model, "go", "") // the device that traces is opened only when it is needed
	if err != nil {
		return nil, err
	}
	output, done, err := trace.Kept(m, q.Source, c, q.Histogram, q.Bins, root)
	if err != nil {
		return nil, err
	}
	if !done {
		if err := traceAlone(ctx, q, m, c, root, filepath.Dir(output)); err != nil {
			return nil, err
		}
	}
	if s.About, err = manifest.Read(output); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		to   **table.Table
		want bool
	}{{trace.States, &s.States, true}, {trace.Losses, &s.Losses, true}, {trace.Channels, &s.Channels, len(c.Channels) > 0}, {trace.Counts, &s.Counts, len(q.Histogram) > 0}, {trace.Window, &s.Window, c.Window}} {
		if !part.want {
			continue
		}
		if *part.to, err = table.Read(trace.Path(output, part.name)); err != nil {
			return nil, err
		}
	}
	if q.Source.Texts.Kind == "recall" {
		if s.Losses, err = repeated(ctx, q, output); err != nil {
			return nil, err
		}
	}
	rule := collapse.DefaultRule(s.TrainLength)
	if q.Rule != nil {
		rule = q.Rule(s.TrainLength)
	}
	s.Verdict, err = collapse.Judge(s.States, s.Losses, rule)
	return s, err
}

// traceAlone makes the trace in its folder, unless another process that looks at the same makes it meanwhile.
func traceAlone(ctx context.Context, q Question, m *models.Opened, c trace.Config, root, folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := atomic.Lock(f); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	output, done, err := trace.Kept(m, q.Source, c, q.Histogram, q.Bins, root)
	if err != nil || done {
		return err
	}
	if m, err = q.opened(); err != nil {
		return err
	}
	return trace.File(ctx, m, q.Source, c, q.Histogram, q.Bins, output)
}

// Worst is the layer and head whose norm grows most beyond the training length.
func (s *Seen) Worst() (layer, head int) {
	h := collapse.Select(s.Verdict.Details.All, 1)[0]
	return h.Layer, h.Head
}

// WorstHeads are the heads of a layer whose norms grow most, at most n, most first.
func (s *Seen) WorstHeads(layer, n int) (heads []int) {
	for _, h := range collapse.Select(s.Verdict.Details.All, len(s.Verdict.Details.All)) {
		if h.Layer == layer && len(heads) < n {
			heads = append(heads, h.Head)
		}
	}
	return heads
}

// Calmest is the layer and head whose norm grows least.
func (s *Seen) Calmest() (layer, head int) {
	all := collapse.Select(s.Verdict.Details.All, len(s.Verdict.Details.All))
	h := all[len(all)-1]
	return h.Layer, h.Head
}
