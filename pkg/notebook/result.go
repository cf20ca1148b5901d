package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stuffed/pkg/figure"
	"stuffed/pkg/manifest"
	"stuffed/pkg/table"
)

// Figures returns the folder for the figures of a run, out/SCALE/figures, so that using a notebook changes nothing that ships.
// When authors run notebooks in place at scale small, it is figures, the shipped folder.
func Figures() (string, error) {
	scale, err := Scale()
	if err != nil || scale == "small" && os.Getenv(HeadlessVariable) == publish {
		return "figures", err
	}
	return filepath.Join("out", scale, "figures"), nil
}

// Figure draws the table according to spec, saves the figure under id (figure.Save) and shows it. about is its manifest, a
// *manifest.Manifest or any value that encodes as a JSON object: how the table came to be. Under the key drawn the manifest also
// records which program drew the figure.
func Figure(id string, spec figure.Spec, t *table.Table, about any) error {
	dir, err := Figures()
	if err != nil {
		return err
	}
	if m, ok := about.(*manifest.Manifest); ok && m != nil {
		if m.Config, err = m.Hash(); err != nil {
			return fmt.Errorf("figure %s: %w", id, err)
		}
	}
	f, err := figure.New(spec, t)
	if err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	whole, err := drawn(about)
	if err != nil {
		return fmt.Errorf("figure %s: manifest: %w", id, err)
	}
	if err := figure.Save(dir, id, f, whole); err != nil {
		return err
	}
	return Show(f)
}

// drawn adds the running program to a manifest.
func drawn(about any) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	raw, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("a JSON object is needed: %w", err)
	}
	if out == nil { // about was nil
		out = map[string]json.RawMessage{}
	}
	out["drawn"], err = json.Marshal(manifest.ThisRun())
	return out, err
}

// Read reads a table of results. If it is missing, the error names the command that makes it.
func Read(path, command string) (*table.Table, error) {
	t, err := table.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the results in %s are not there yet; make them in the project's folder with: %s", path, command)
	}
	return t, err
}

// About returns the manifest beside a table of results or, where there is none, that of the running program.
func About(path string) any {
	if m, err := manifest.Read(path); err == nil {
		return m
	}
	return manifest.ThisRun()
}

// Have reports whether a result is there and complete, and prints a line that says so.
func Have(path string) bool {
	if _, err := table.Read(path); err != nil {
		return false
	}
	if os.Getenv(HeadlessVariable) != publish {
		fmt.Println("using", path, "(remove it to make it anew)")
	}
	return true
}
