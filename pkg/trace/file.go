package trace

import (
	"context"
	"fmt"
	"path/filepath"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
)

// Source says what is read: texts, or the sequences of a file of token ids (see prompt.ReadIDs).
type Source struct {
	Texts  prompt.Texts
	Tokens string
}

// probes makes the sequences; recorded and inputs are for the manifest.
func (s Source) probes(m *models.Opened) (probes []prompt.Probe, recorded any, inputs []string, err error) {
	if s.Tokens != "" {
		probes, err = prompt.ReadIDs(s.Tokens)
		return probes, filepath.Base(s.Tokens), []string{s.Tokens}, err
	}
	texts := s.Texts
	if texts.OwnCorpus() {
		inputs, texts.Corpus = append(inputs, texts.Corpus), filepath.Base(texts.Corpus)
	}
	probes, err = eval.Probes(m, s.Texts)
	return probes, texts, inputs, err
}

// File is Write with a manifest beside the states, and with histograms (see Histograms) at positions, if any. An
// interrupted run goes on; one that is done stays.
func File(ctx context.Context, m *models.Opened, source Source, c Config, positions []int, bins int, output string) error {
	c = c.filled()
	probes, recorded, inputs, err := source.probes(m)
	if err != nil {
		return err
	}
	if err := check(m.Runner, c, probes); err != nil { // before anything is written
		return err
	}
	for _, p := range probes {
		if _, err := checkPositions(positions, len(p.IDs)); err != nil {
			return fmt.Errorf("prompt %q: %w", p.Name, err)
		}
	}
	note, err := m.Manifest([]any{"trace", recorded, c, positions, bins}, []int64{source.Texts.Seed}, inputs...)
	if err != nil {
		return err
	}
	if err := note.Start(output); err != nil {
		return err
	}
	if err := Write(ctx, m.Runner, probes, c, output); err != nil {
		return err
	}
	files := Files(c, output)
	if len(positions) > 0 {
		t, err := Histograms(ctx, m.Runner, probes, positions, bins)
		if err != nil {
			return err
		}
		path := Path(output, "histograms")
		if err := t.Write(path); err != nil {
			return err
		}
		files = append(files, path)
	}
	return note.Finish(files[0], files[1:]...)
}
