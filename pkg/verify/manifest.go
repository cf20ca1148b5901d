package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
)

// evidence is what a manifest says about one fixture; its zero value says nothing.
type evidence struct {
	Files     map[string]fileRecord      `json:"files"`
	Tensors   map[string]json.RawMessage `json:"evidence"` // tolerance by tensor, and "grads" by parameter
	Cases     map[string]caseRecord      `json:"cases"`
	Train     *trainRecord               `json:"train"`
	directory string                     // of the fixture: names of Files are relative to it
}

type fileRecord struct {
	Bytes   int64                      `json:"bytes"`
	Sum     string                     `json:"sha256"`
	Tensors map[string]json.RawMessage `json:"tensors"`
}

type tolerance struct {
	Largest    float64 `json:"max_abs_truth"`
	Suggested  float64 `json:"suggested_atol"`
	Sequential float64 `json:"suggested_atol_sequential"`
}

type caseRecord struct {
	Evidence  map[string]json.RawMessage `json:"evidence"` // tolerance by output, see caseRecord.tolerance
	Normalise bool                       `json:"qk_l2norm"`
}

type trainRecord struct {
	LR       float64                 `json:"lr"`
	Betas    [2]float64              `json:"betas"`
	Eps      float64                 `json:"eps"`
	Decay    float64                 `json:"weight_decay"`
	Clip     float64                 `json:"clip_norm"`
	Decayed  []string                `json:"decayed"`
	Evidence map[string]tolerance    `json:"evidence"`
	Final    map[string]finalMoments `json:"final_parameters"`
}

type finalMoments struct{ Mean, Std float64 }

// findManifest looks for manifest.json in a folder and every one above, and for the folder's fixture in it: by the name
// of the folder or one above it, else by the hash of a file.
func findManifest(dir string) (evidence, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return evidence{}, err
	}
	for at := full; ; at = filepath.Dir(at) {
		path := filepath.Join(at, "manifest.json")
		text, err := os.ReadFile(path)
		if err == nil {
			var file struct{ Fixtures map[string]evidence }
			if err := json.Unmarshal(text, &file); err != nil {
				return evidence{}, fmt.Errorf("%s: %w", path, err)
			}
			if len(file.Fixtures) > 0 {
				return choose(file.Fixtures, at, full), nil
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return evidence{}, err
		}
		if at == filepath.Dir(at) {
			return evidence{}, nil
		}
	}
}

func choose(fixtures map[string]evidence, root, dir string) evidence {
	for at := dir; ; at = filepath.Dir(at) {
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return evidence{}
		}
		if e, ok := fixtures[filepath.ToSlash(rel)]; ok {
			e.directory = at
			return e
		}
		if e, ok := fixtures[filepath.Base(at)]; ok {
			e.directory = at
			return e
		}
		for _, name := range slices.Sorted(maps.Keys(fixtures)) { // a renamed copy
			for file, record := range fixtures[name].Files {
				if record.Tensors == nil && !strings.HasSuffix(file, ".bin") && !strings.HasSuffix(file, ".safetensors") {
					continue
				}
				if sum, _, err := atomic.Hash(filepath.Join(at, filepath.FromSlash(file))); err == nil && sum == record.Sum {
					e := fixtures[name]
					e.directory = at
					return e
				}
			}
		}
		if at == root || at == filepath.Dir(at) {
			return evidence{}
		}
	}
}

// hashes compares files with the manifest. One that holds other tensors than the manifest lists is another edition,
// checked by its numbers alone.
func (v *verifier) hashes(dir string, names []string, ev evidence) {
	if ev.Files == nil {
		return
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		rel, err := filepath.Rel(ev.directory, filepath.Join(full, name))
		record, listed := ev.Files[filepath.ToSlash(rel)]
		if err != nil || !listed {
			continue
		}
		sum, size, err := atomic.Hash(filepath.Join(dir, name))
		switch {
		case err != nil:
		case size != record.Bytes && filepath.Ext(name) == ".safetensors" && !sameTensors(filepath.Join(dir, name), record):
			v.note(dir, name, "holds other tensors than the manifest lists; its hash is not checked")
			continue
		case size != record.Bytes:
			err = fmt.Errorf("has %d bytes, the manifest says %d", size, record.Bytes)
		case sum != record.Sum:
			err = fmt.Errorf("SHA-256 is %s, the manifest says %s", sum, record.Sum)
		}
		v.result(dir, name, "hash", err)
	}
}

func sameTensors(path string, record fileRecord) bool {
	file, err := readTensors(path)
	if err != nil || len(file) != len(record.Tensors) {
		return err != nil
	}
	for name := range file {
		if _, ok := record.Tensors[name]; !ok {
			return false
		}
	}
	return true
}

// known returns the tolerance that the manifest gives for a tensor, or for one of its kind scaled to its size.
func (e evidence) known(name string, largest float64) (float64, bool) {
	read := func(name string) (t tolerance, ok bool) {
		return t, json.Unmarshal(e.Tensors[name], &t) == nil && t.Suggested > 0
	}
	if t, ok := read(name); ok {
		return t.Suggested, true
	}
	var relative float64
	for _, like := range kin(name) {
		if t, ok := read(like); ok && t.Largest > 0 {
			relative = max(relative, t.Suggested/t.Largest)
		}
	}
	if parts := strings.Split(name, "."); strings.HasPrefix(parts[len(parts)-1], "grad_") {
		for _, t := range e.gradients() {
			if t.Largest > 0 {
				relative = max(relative, t.Suggested/t.Largest)
			}
		}
	}
	return max(relative, 2e-6) * largest, relative > 0
}

func (e evidence) gradients() map[string]tolerance {
	var all map[string]tolerance
	if json.Unmarshal(e.Tensors["grads"], &all) != nil {
		return nil
	}
	return all
}

// kin are tensors of the same kind, whose float32 error is of the same relative size.
func kin(name string) []string {
	base := name
	if prefix, rest, ok := strings.Cut(name, "."); ok && !mainNames[prefix] && !isState(prefix) {
		base = rest
	}
	switch {
	case isState(base):
		base += ".final"
	case base == "objective":
		base = "loss.mean"
	}
	if layer, _, _ := strings.Cut(base, "."); strings.HasPrefix(layer, "layer") {
		base = "hidden.layers"
	}
	return []string{base}
}

// isState tells whether a reference is a tensor of the state after a run, such as state and shift_state; not its gradient.
func isState(name string) bool {
	return name == "state" || strings.HasSuffix(name, "_state") && !strings.HasPrefix(name, "grad_")
}

// mainNames begin the tensors of the main run, beside those of the state; any other first part is the name of a run.
var mainNames = map[string]bool{"logits": true, "hidden": true, "loss": true, "stats": true}

// allowed is the tolerance for a float32 result: the manifest's, else 10 times the difference of golden and truth, at
// least 2e-6 of the largest entry, else 1e-5 of the largest entry.
func (e evidence) allowed(name string, truth, golden []float64) float64 {
	largest := largestOf(truth)
	if tol, ok := e.known(name, largest); ok {
		return tol
	}
	if len(golden) == len(truth) && len(truth) > 0 {
		worst := 0.0
		for i := range truth {
			worst = max(worst, math.Abs(truth[i]-golden[i]))
		}
		return max(10*worst, 2e-6*largest)
	}
	return 1e-5 * largest
}

func largestOf(v []float64) (largest float64) {
	for _, x := range v {
		largest = max(largest, math.Abs(x))
	}
	return largest
}
