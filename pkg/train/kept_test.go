package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stuffed/xla"
)

// An interrupted run is gone on with, a finished one is not repeated.
func TestKeptTrainsOnce(t *testing.T) {
	c, err := ReadConfig("", "model.width=16", "model.layers=1", "model.head_dim=8", "model.state=4", "model.chunk=16", "data.keys=12", "data.values=4", "data.gap=4",
		"train_length=16", "batch_tokens=32", "steps=4", "warmup=1", "valid.every=-1", "seeds=0,1")
	if err != nil {
		t.Fatal(err)
	}
	root, opened := t.TempDir(), 0
	open := func() (*xla.Device, error) { opened++; return xla.Open("go") }
	ctx, stop := context.WithCancel(context.Background())
	if _, err := Kept(ctx, c, root, open, func(s Status) {
		if s.Step == 2 {
			stop()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var steps []int64
	models, err := Kept(context.Background(), c, root, open, func(s Status) { steps = append(steps, s.Step) })
	if err != nil || len(steps) == 0 || steps[0] != 3 {
		t.Fatal(err, steps)
	}
	again, err := Kept(context.Background(), c, root, open, nil)
	if err != nil || opened != 2 || len(again) != 2 || again[0] != models[0] {
		t.Error(err, opened, again)
	}
	for _, dir := range models {
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
			t.Error(err)
		}
	}
	c.Steps++
	if other, err := Kept(context.Background(), c, root, open, nil); err != nil || other[0] == models[0] {
		t.Error("another configuration gives the same folder", err)
	}
}
