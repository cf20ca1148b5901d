package models

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/hub"
	"stuffed/pkg/lm"
	"stuffed/pkg/progress"
)

// Folder is where a model lies: a path that is there, and a preset, as they are; a name on the hub (see hub.ParseName) as its folder
// in the cache that Python shares, once what was missing there is fetched. Progress goes to standard error, or into the notebook.
func Folder(name string) (string, error) {
	if IsPreset(name) || name == "" {
		return name, nil
	}
	if local, err := checkpoint.Folder(name); err != nil || local != name {
		return name, err
	}
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	parsed, ok := hub.ParseName(name)
	if _, err := lm.Preset(name); err == nil || !ok {
		return "", noModel(name)
	}
	path, err := fetch(parsed, hub.Whole)
	if err != nil {
		return "", fmt.Errorf("there is no folder %s here, and on the hub: %w", name, err)
	}
	return path, nil
}

// noModel is the error of a name that is neither a path nor a name on the hub.
func noModel(name string) error {
	preset := strings.TrimPrefix(name, untrained)
	if _, err := lm.Preset(preset); err == nil {
		return fmt.Errorf("model %s: there is no folder of that name; the preset, with initial weights, is %s", name, untrained+preset)
	}
	return notFound("model", name, "a folder with config.json and weights, or "+untrained+" and one of "+strings.Join(lm.Presets(), ", "))
}

// notFound is the error of a name that is neither there nor one of the hub; others are what else may be given.
func notFound(what, name, others string) error {
	return fmt.Errorf("%s %q: %w, and a name on the hub is OWNER/MODEL or OWNER/MODEL@REVISION; give one, %s", what, name, fs.ErrNotExist, others)
}

// Client is the hub of the environment (see hub.FromEnvironment) with progress and notes for people.
func Client() (*hub.Client, error) {
	c, err := hub.FromEnvironment()
	if err != nil {
		return nil, err
	}
	c.Progress = func(label string, total int64) hub.Meter {
		return progress.NewOn(os.Stderr, label, total, "bytes")
	}
	c.Note = func(text string) { fmt.Fprintln(os.Stderr, "stuffed:", text) }
	return c, nil
}

// fetch ends at an interrupt; what has come by then stays and is continued.
func fetch(name hub.Name, part hub.Part) (string, error) {
	c, err := Client()
	if err != nil {
		return "", err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.Fetch(ctx, name, part)
}
