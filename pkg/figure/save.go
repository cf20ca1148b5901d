package figure

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"stuffed/pkg/table"
)

// Resolution of the saved PNG in dots per inch.
const Resolution = 300

const (
	specName     = "spec.json"
	manifestName = "manifest.json"
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Save writes the figure to the folder dir/id: id.pdf, id.svg, id.png, id.csv (the points), spec.json and manifest.json, which is manifest
// (any value that encodes as a JSON object) plus the SHA-256 of every other file under "files". The folder is replaced as a whole: on any
// error, including a full disk, the previous figure stays. A manifest, spec or table that contains an absolute path, the host name or the
// user name is an error.
func Save(dir, id string, f *Figure, manifest any) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("figure id %q: use 1 to 64 of a–z, 0–9, - and _", id)
	}
	files, err := f.files(id)
	if err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	if files[manifestName], err = withHashes(manifest, files); err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	for _, name := range []string{id + ".csv", specName, manifestName} {
		if err := Private(files[name]); err != nil {
			return fmt.Errorf("figure %s: %s %w", id, name, err)
		}
	}
	if err := writeFolder(filepath.Join(dir, id), files); err != nil {
		return fmt.Errorf("figure %s: %w; the former figure is unchanged", id, err)
	}
	return nil
}

// files renders every file of the figure except the manifest.
func (f *Figure) files(id string) (map[string][]byte, error) {
	files := map[string][]byte{}
	var err error
	for ext, make := range map[string]func() ([]byte, error){
		".pdf": f.PDF,
		".svg": f.SVG,
		".png": func() ([]byte, error) { return f.PNG(Resolution) },
		".csv": func() ([]byte, error) { return csvBytes(f.Points) },
	} {
		if files[id+ext], err = make(); err != nil {
			return nil, err
		}
	}
	files[specName], err = encodeSpec(f.Spec)
	return files, err
}

func withHashes(manifest any, files map[string][]byte) ([]byte, error) {
	raw, err := json.Marshal(manifest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	all := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("manifest: a JSON object is needed: %w", err)
	}
	if all == nil {
		all = map[string]any{}
	}
	hashes := map[string]string{}
	for name, data := range files {
		hashes[name] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	all["files"] = hashes
	return indented(all)
}

// Load reads a saved figure and its manifest.
func Load(dir, id string) (*Figure, json.RawMessage, error) {
	folder := filepath.Join(dir, id)
	raw, err := os.ReadFile(filepath.Join(folder, specName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("figure %s is not in %s; make figures draws all figures, stuffed figures list names those there", id, dir)
	} else if err != nil {
		return nil, nil, err
	}
	spec, err := decodeSpec(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(folder, specName), err)
	}
	points, err := table.Read(filepath.Join(folder, id+".csv"))
	if err != nil {
		return nil, nil, err
	}
	f, err := New(spec, points)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(folder, id+".csv"), err)
	}
	manifest, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil {
		return nil, nil, err
	}
	return f, manifest, nil
}

// Redraw redraws a saved figure from its points and spec.
func Redraw(dir, id string) error {
	f, manifest, err := Load(dir, id)
	if err != nil {
		return err
	}
	return Save(dir, id, f, manifest)
}

// Check redraws a saved figure from its points and spec, compares every file with the saved one, and verifies the manifest's hashes of files
// and inputs. Input paths are relative to the parent of dir; missing inputs are skipped.
func Check(dir, id string) error {
	f, manifest, err := Load(dir, id)
	if err != nil {
		return err
	}
	files, err := f.files(id)
	if err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	var recorded struct {
		Files  map[string]string `json:"files"`
		Inputs json.RawMessage   `json:"inputs"`
	}
	if err := json.Unmarshal(manifest, &recorded); err != nil {
		return fmt.Errorf("figure %s: %s: %w", id, manifestName, err)
	}
	var wrong []string
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(dir, id, name))
		switch {
		case err != nil:
			wrong = append(wrong, name+" is missing")
		case !bytes.Equal(have, want):
			wrong = append(wrong, name+" is not what its table and spec draw")
		case recorded.Files[name] != fmt.Sprintf("%x", sha256.Sum256(have)):
			wrong = append(wrong, name+" is not the file that the manifest records")
		}
	}
	for name, hash := range inputHashes(recorded.Inputs) {
		data, err := os.ReadFile(filepath.Join(dir, "..", filepath.FromSlash(name)))
		if err == nil && fmt.Sprintf("%x", sha256.Sum256(data)) != strings.TrimPrefix(hash, "sha256:") {
			wrong = append(wrong, "input "+name+" has changed since the figure was drawn")
		}
	}
	if err := Private(manifest); err != nil {
		wrong = append(wrong, manifestName+" "+err.Error())
	}
	if len(wrong) == 0 {
		return nil
	}
	sort.Strings(wrong)
	return fmt.Errorf("figure %s: %s; make figures draws it anew from the results, stuffed figures draw %s from its table",
		id, strings.Join(wrong, "; "), id)
}

// inputHashes returns the manifest's inputs, an object from path to hash, or nil if they have another form.
func inputHashes(raw json.RawMessage) map[string]string {
	inputs := map[string]string{}
	if json.Unmarshal(raw, &inputs) != nil {
		return nil
	}
	for name := range inputs {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			delete(inputs, name)
		}
	}
	return inputs
}

// List returns the names of the figures saved in dir.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), specName)); err == nil && idPattern.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}
