package trace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
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
	_, _, err := file(ctx, m, source, c, positions, bins, func(*manifest.Manifest) (string, error) { return output, nil })
	return err
}

// Kept is File into a folder of root that is named by the hash of model, source and config, so that a trace that was made
// before is found again. It returns the path of the states and the manifest.
func Kept(ctx context.Context, m *models.Opened, source Source, c Config, positions []int, bins int, root string) (string, *manifest.Manifest, error) {
	return file(ctx, m, source, c, positions, bins, func(note *manifest.Manifest) (string, error) {
		hash, err := note.Hash()
		return filepath.Join(root, hash, "trace.parquet"), err
	})
}

func file(ctx context.Context, m *models.Opened, source Source, c Config, positions []int, bins int, place func(*manifest.Manifest) (string, error)) (string, *manifest.Manifest, error) {
	c = c.filled()
	probes, recorded, inputs, err := source.probes(m)
	if err != nil {
		return "", nil, err
	}
	if err := check(m.Runner, c, probes); err != nil { // before anything is written
		return "", nil, err
	}
	for _, p := range probes {
		if _, err := checkPositions(positions, len(p.IDs)); err != nil {
			return "", nil, fmt.Errorf("prompt %q: %w", p.Name, err)
		}
	}
	note, err := m.Manifest([]any{"trace", recorded, c, positions, bins}, []int64{source.Texts.Seed}, inputs...)
	if err != nil {
		return "", nil, err
	}
	output, err := place(note)
	if err != nil {
		return "", nil, err
	}
	if err := note.Start(output); err != nil {
		return "", nil, err
	}
	if err := Write(ctx, m.Runner, probes, c, output); err != nil {
		return "", nil, err
	}
	files := Files(c, output)
	if len(positions) > 0 {
		path := Path(output, Counts)
		if err := histograms(ctx, m.Runner, probes, positions, bins, path); err != nil {
			return "", nil, err
		}
		files = append(files, path)
	}
	return output, note, note.Finish(files[0], files[1:]...)
}

// histograms makes the file of Histograms unless it is there.
func histograms(ctx context.Context, r *lm.Runner, probes []prompt.Probe, positions []int, bins int, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	t, err := Histograms(ctx, r, probes, positions, bins)
	if err != nil {
		return err
	}
	return t.Write(path)
}
