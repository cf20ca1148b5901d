package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stuffed/xla"
)

// Kept returns the folders of the models, one per member, that a run of this configuration made below root. The run is
// done now, or gone on with where it was interrupted, unless it was finished before: its folder is named by the hash of
// the configuration. open gives the device when one is needed; notify, which may be nil, is told how far the run is.
func Kept(ctx context.Context, c Config, root string, open func() (*xla.Device, error), notify func(Status)) ([]string, error) {
	c.Output = filepath.Join(root, c.Hash())
	var models []string
	missing := false
	for _, r := range c.Members() {
		dir := filepath.Join(c.Output, "models", r.Name(), "final")
		models = append(models, dir)
		_, err := os.Stat(filepath.Join(dir, "training.json")) // written last
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("kept models: %w", err)
		}
		missing = missing || err != nil
	}
	if !missing {
		return models, nil
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	t, err := Open(d, c)
	if err != nil {
		return nil, err
	}
	defer t.Data.Close()
	t.Notify = notify
	if err := t.Begin(true, false); err != nil {
		return nil, err
	}
	return models, t.Run(ctx)
}
