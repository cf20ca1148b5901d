// Package manifest records next to a result how it was produced: command, date, revision, options, seeds, device, versions and the hashes
// of inputs and outputs. It contains no host name, user name or absolute path, so that results can be published.
package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"stuffed/pkg/atomic"
	"stuffed/xla"
)

// Run is the part of a manifest that describes the program which produced the result.
type Run struct {
	Command  string            `json:"command"`
	Date     string            `json:"date"`     // start time, UTC, RFC 3339
	Revision string            `json:"revision"` // see [Revision]
	Changed  bool              `json:"changed"`  // the sources differed from that revision
	Versions map[string]string `json:"versions"`
}

// ThisRun describes the running program.
func ThisRun() Run {
	r := Run{Command: commandLine(os.Args), Date: time.Now().UTC().Format(time.RFC3339), Versions: versions()}
	r.Revision, r.Changed = Revision()
	return r
}

// Manifest is the content of the JSON file next to a result.
type Manifest struct {
	Run
	Options   json.RawMessage   `json:"options"`
	Config    string            `json:"config"` // hash of options, model and inputs; a run may be resumed only if it is equal
	Model     string            `json:"model,omitempty"`
	Seeds     []int64           `json:"seeds,omitempty"`
	Backend   string            `json:"backend,omitempty"`
	Hardware  string            `json:"hardware,omitempty"`
	Precision string            `json:"precision,omitempty"`
	Plugin    string            `json:"plugin,omitempty"`
	Inputs    map[string]string `json:"inputs,omitempty"` // SHA-256 by name
	Files     map[string]string `json:"files,omitempty"`  // SHA-256 of the result's files by name; absent while the run is in progress
}

// New starts a manifest with the options that determine the result (any value that encodes as JSON) and the seeds.
func New(options any, seeds ...int64) (*Manifest, error) {
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("manifest: options: %w", err)
	}
	return &Manifest{Run: ThisRun(), Options: raw, Seeds: seeds, Inputs: map[string]string{}}, nil
}

// Device records the backend and device.
func (m *Manifest) Device(d *xla.Device) *Manifest {
	m.Backend, m.Hardware, m.Precision, m.Plugin = d.Kind, d.Hardware(), d.Precision, d.Plugin
	return m
}

// Input records the hash of a file, or of every file directly in a folder (not of its subfolders), under its base name.
func (m *Manifest) Input(path string) error { return m.InputAs(filepath.Base(path), path) }

// InputAs is Input under another name.
func (m *Manifest) InputAs(name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("manifest: input: %w", err)
	}
	if !info.IsDir() {
		m.Inputs[name], err = hashFile(path)
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("manifest: input: %w", err)
	}
	for _, e := range entries {
		// The hub's cache stores a model's files as symbolic links.
		if info, err := os.Stat(filepath.Join(path, e.Name())); err == nil && info.Mode().IsRegular() {
			if m.Inputs[name+"/"+e.Name()], err = hashFile(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Path returns the path of a result's manifest.
func Path(result string) string { return result + ".manifest.json" }

// Hash returns the hash of options, model and inputs, which identifies a run.
func (m *Manifest) Hash() (string, error) {
	key, err := json.Marshal([]any{m.Options, m.Model, m.Inputs})
	if err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])[:12], nil
}

// Start writes the manifest before the first row of a result. Rows left by an earlier run are an error if its options, model or inputs
// differ; if they are equal, the run may be resumed, and the manifest of a finished result stays until Finish replaces it.
func (m *Manifest) Start(result string) error {
	var err error
	if m.Config, err = m.Hash(); err != nil {
		return err
	}
	former, err := os.ReadFile(Path(result))
	if err == nil {
		var old Manifest
		switch known := json.Unmarshal(former, &old) == nil && begun(result); {
		case known && old.Config == m.Config && len(old.Files) > 0:
			m.Files = nil
			return nil
		case known && old.Config != m.Config:
			return fmt.Errorf("%s holds rows of other options, model or inputs (%s): give another output, or remove it and %s",
				result, old.Command, Path(result))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("manifest: %w", err)
	}
	if dir := filepath.Dir(result); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
	}
	m.Files = nil
	return m.Write(Path(result))
}

// Read reads the manifest of a result.
func Read(result string) (*Manifest, error) {
	text, err := os.ReadFile(Path(result))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("manifest: %s: %w", filepath.Base(Path(result)), err)
	}
	return m, nil
}

// begun reports whether the finished file or the parts of an interrupted run contain any rows.
func begun(result string) bool {
	if _, err := os.Stat(result); err == nil {
		return true
	}
	parts, err := os.ReadDir(result + ".parts")
	return err == nil && len(parts) > 0
}

// Finish records the hashes of the finished result and of any other files that the run wrote.
func (m *Manifest) Finish(result string, others ...string) error {
	m.Files = map[string]string{}
	for _, p := range append([]string{result}, others...) {
		sum, err := hashFile(p)
		if err != nil {
			return err
		}
		m.Files[filepath.Base(p)] = sum
	}
	return m.Write(Path(result))
}

// Write writes the manifest in its current state.
func (m *Manifest) Write(path string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return atomic.Bytes(path, append(text, '\n'))
}

func hashFile(path string) (string, error) {
	sum, _, err := atomic.Hash(path)
	if err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	return sum, nil
}

// commandLine joins the arguments, with absolute paths reduced to their last element.
func commandLine(args []string) string {
	short := slices.Clone(args)
	for i, a := range short {
		flag, value, found := strings.Cut(a, "=")
		switch {
		case filepath.IsAbs(a) || i == 0:
			short[i] = filepath.Base(a)
		case found && filepath.IsAbs(value):
			short[i] = flag + "=" + filepath.Base(value)
		}
	}
	return strings.Join(short, " ")
}

func versions() map[string]string {
	v := map[string]string{"go": runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla":
			v[filepath.Base(d.Path)] = d.Version
		}
	}
	return v
}
