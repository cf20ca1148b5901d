package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// Source says what to read: texts, or the sequences in a file of token ids (see prompt.ReadIDs).
type Source struct {
	Texts  prompt.Texts
	Tokens string
}

// recorded returns what the manifest records about the source, and its input files.
func (s Source) recorded() (any, []string) {
	texts := s.Texts
	switch {
	case s.Tokens != "":
		return filepath.Base(s.Tokens), []string{s.Tokens}
	case texts.OwnCorpus():
		texts.Corpus = filepath.Base(texts.Corpus)
		return texts, []string{s.Texts.Corpus}
	}
	return texts, nil
}

func (s Source) probes(m *models.Opened) ([]prompt.Probe, error) {
	if s.Tokens != "" {
		return prompt.ReadIDs(s.Tokens)
	}
	return eval.Probes(m, s.Texts)
}

func note(m *models.Opened, source Source, c Config, positions []int, bins int) (*manifest.Manifest, error) {
	recorded, inputs := source.recorded()
	return m.Manifest([]any{"trace", recorded, c, positions, bins}, []int64{source.Texts.Seed}, inputs...)
}

// Kept returns the path of the state table under root, in a folder named by the hash of model, source and config, and whether a complete
// trace exists there.
func Kept(m *models.Opened, source Source, c Config, positions []int, bins int, root string) (output string, done bool, err error) {
	about, err := note(m, source, c.filled(m.Weights.Model), positions, bins)
	if err != nil {
		return "", false, err
	}
	hash, err := about.Hash()
	if err != nil {
		return "", false, err
	}
	output = filepath.Join(root, hash, "trace.parquet")
	former, err := os.ReadFile(manifest.Path(output))
	var there struct{ Files map[string]string }
	done = err == nil && json.Unmarshal(former, &there) == nil && len(there.Files) > 0
	for name := range there.Files {
		if _, err := os.Stat(filepath.Join(filepath.Dir(output), name)); err != nil {
			done = false
		}
	}
	return output, done, nil
}

// File is Write plus a manifest next to the state table and, if there are any positions, histograms at them (see Histograms). An
// interrupted run is resumed; a finished one is kept.
func File(ctx context.Context, m *models.Opened, source Source, c Config, positions []int, bins int, output string) error {
	c = c.filled(m.Weights.Model)
	probes, err := source.probes(m)
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
	if err := table.CheckPath(output); err != nil {
		return err
	}
	about, err := note(m, source, c, positions, bins)
	if err != nil {
		return err
	}
	if err := about.Start(output); err != nil {
		return err
	}
	if err := Write(ctx, m.Runner, probes, c, output); err != nil {
		return err
	}
	files := Files(c, output)
	if len(positions) > 0 {
		path := Path(output, Counts)
		if err := histograms(ctx, m.Runner, probes, positions, bins, path); err != nil {
			return err
		}
		files = append(files, path)
	}
	return about.Finish(files[0], files[1:]...)
}

// histograms writes the file of Histograms unless it exists.
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
