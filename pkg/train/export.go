package train

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stuffed/pkg/atomic"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// exportAll writes every member as OUTPUT/models/MEMBER/NAME.
func (t *Trainer) exportAll(name string) error {
	if t.Config.Output == "" {
		return nil
	}
	for r, member := range t.program.members {
		dir := filepath.Join(t.Config.Output, "models", member.Name(), name)
		if err := Export(dir, t.Model, t.Weights(), r, t.Config, t.step); err != nil {
			return err
		}
	}
	return nil
}

// Export writes one member as a model folder with training.json, which says how it was trained.
func Export(dir string, model lm.Model, w *lm.Weights, member int, c Config, step int64) error {
	return export(dir, model, w, member, models.Default, c, step)
}

func export(dir string, model lm.Model, w *lm.Weights, member int, layout string, c Config, step int64) error {
	if err := models.Save(dir, model, w, member, layout, c.Export.DType); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	r := c.Members()[member]
	hash := c.Hash()
	c.Output, c.Data.Cache = "", ""
	for _, path := range []*string{&c.Init, &c.Data.Path, &c.Data.Tokenizer} { // no folders of this machine
		if *path != "" {
			*path = filepath.Base(*path)
		}
	}
	text, err := json.MarshalIndent(map[string]any{"step": step, "tokens": step * int64(c.BatchTokens), "replica": r,
		"config_hash": hash, "config": c}, "", "  ")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return atomic.Bytes(filepath.Join(dir, "training.json"), append(text, '\n'))
}

// IsRun tells the folder of a run, or of one of its snapshots, from that of a model.
func IsRun(path string) bool {
	_, err := os.Stat(filepath.Join(path, "snapshots"))
	return err == nil || strings.HasPrefix(filepath.Base(path), "step-")
}

// ExportSnapshot writes the members of a snapshot (or of the newest whole one of a run's folder) as output/MEMBER:
// all, or the one with the given number. It returns the folders written.
func ExportSnapshot(run, output string, member int, layout, dtype string) (written []string, err error) {
	dir := run
	if _, err := os.Stat(filepath.Join(run, "snapshots")); err == nil {
		if dir, _, _, err = checkpoint.LatestSnapshot(filepath.Join(run, "snapshots")); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	w, info, err := snapshotWeights(dir)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	c := info.Config
	c.Export.DType = dtype
	for r, one := range c.Members() {
		if member >= 0 && member != r {
			continue
		}
		to := filepath.Join(output, one.Name())
		if err := export(to, w.Model, w, r, layout, c, info.Step); err != nil {
			return written, err
		}
		written = append(written, to)
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("export: member %d: there are %d", member, w.Members)
	}
	return written, nil
}
