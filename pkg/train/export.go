package train

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// exportAll writes every replica as OUTPUT/models/REPLICA/NAME.
func (t *Trainer) exportAll(name string) error {
	if t.Config.Output == "" {
		return nil
	}
	for r, replica := range t.program.replicas {
		dir := filepath.Join(t.Config.Output, "models", replica.Name(), name)
		if err := Export(dir, t.Model, t.Weights(), r, t.Config, t.step); err != nil {
			return err
		}
	}
	return nil
}

// Export writes one replica as a Hugging Face folder with training.json, which says how it was trained.
func Export(dir string, model lm.Model, w *lm.Weights, replica int, c Config, step int64) error {
	m, ok := model.(mamba2.Model)
	if !ok {
		return fmt.Errorf("export: no file layout is known for %s", model.Name())
	}
	if err := models.Save(dir, m, w, replica, "huggingface", c.Export.DType); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	r := c.Replicas()[replica]
	c.Output, c.Init, c.Data.Cache = "", filepath.Base(c.Init), ""
	if c.Data.Path != "" {
		c.Data.Path = filepath.Base(c.Data.Path)
	}
	c.Data.Tokenizer = filepath.Base(c.Data.Tokenizer)
	text, err := json.MarshalIndent(map[string]any{"step": step, "tokens": step * int64(c.BatchTokens), "replica": r,
		"config_hash": c.Hash(), "config": c}, "", "  ")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return table.AtomicBytes(filepath.Join(dir, "training.json"), append(text, '\n'))
}
