package eval

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// LossFile runs Loss.Write on the sequences selected by texts, writes a manifest and a table of sources (.sources, in the same format) next
// to the result, and returns the table. An interrupted run is resumed; a finished one is read.
func LossFile(ctx context.Context, m *models.Opened, texts prompt.Texts, l Loss, path string) (*table.Table, error) {
	probes, err := Probes(m, texts)
	if err != nil {
		return nil, err
	}
	var inputs []string
	recorded := texts
	if texts.OwnCorpus() {
		inputs, recorded.Corpus = append(inputs, texts.Corpus), filepath.Base(texts.Corpus)
	}
	note, err := m.Manifest([]any{"loss", recorded, l.Bucket}, []int64{texts.Seed}, inputs...)
	if err != nil {
		return nil, err
	}
	if err := table.CheckPath(path); err != nil {
		return nil, err
	}
	if err := note.Start(path); err != nil {
		return nil, err
	}
	sources := strings.TrimSuffix(path, filepath.Ext(path)) + ".sources" + filepath.Ext(path)
	if err := Sources(probes).Write(sources); err != nil {
		return nil, err
	}
	if err := l.Write(ctx, m.Runner, probes, path); err != nil {
		return nil, err
	}
	if err := note.Finish(path, sources); err != nil {
		return nil, err
	}
	return table.Read(path)
}

// Labelled is a selection of texts with a label for figures.
type Labelled struct {
	Label string
	prompt.Texts
}

// CompareLoss evaluates one model on several kinds of sequences, each with LossFile in dir, and returns their mean curves: kind (the
// label), position, loss, loss_low, loss_high, prompts, tokens.
func CompareLoss(ctx context.Context, m *models.Opened, kinds []Labelled, l Loss, dir string) (*table.Table, error) {
	all := table.New()
	for i, k := range kinds {
		losses, err := LossFile(ctx, m, k.Texts, l, filepath.Join(dir, fmt.Sprintf("loss-%02d-%s.parquet", i, k.Kind)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Label, err)
		}
		mean, err := MeanLoss(losses, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Label, err)
		}
		mean.AddText("kind", slices.Repeat([]string{k.Label}, mean.Rows()))
		if err := all.Append(mean); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Probes tokenises the selected sequences with the model's tokenizer.
func Probes(m *models.Opened, texts prompt.Texts) ([]prompt.Probe, error) {
	if !texts.Textual() {
		return texts.Make(nil)
	}
	if err := texts.Validate(); err != nil {
		return nil, err
	}
	enc, err := m.Encoder()
	if err != nil {
		return nil, err
	}
	return texts.Make(enc)
}

// PasskeyFile runs Passkey.Write with a manifest next to the result, and returns the table.
func PasskeyFile(ctx context.Context, m *models.Opened, p Passkey, path string) (*table.Table, error) {
	enc, err := m.Encoder()
	if err != nil {
		return nil, err
	}
	recorded, inputs := p, []string(nil)
	if p.Haystack != "" {
		recorded.Haystack, inputs = filepath.Base(p.Haystack), []string{p.Haystack}
	}
	note, err := m.Manifest([]any{"passkey", recorded, enc.Name()}, []int64{p.Seed}, inputs...)
	if err != nil {
		return nil, err
	}
	if err := table.CheckPath(path); err != nil {
		return nil, err
	}
	if err := note.Start(path); err != nil {
		return nil, err
	}
	if err := p.Write(ctx, m.Runner, enc, path); err != nil {
		return nil, err
	}
	if err := note.Finish(path); err != nil {
		return nil, err
	}
	return table.Read(path)
}
