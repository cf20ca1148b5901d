// Package verify recomputes reference fixtures with the product's own code and compares number by number.
//
// A fixture is a folder: a model (config.json and weights, in either layout) with reference tensors beside it, bare cases
// of the operator, or texts with their token ids. Tensors go by their names; what is absent is not checked. A folder
// with weights but no references is compared with those of the folder above. Every model is run in float32, against the
// tolerances of the nearest manifest.json, and in float64, where a reference computed in float64 must be met to 1e-11 and
// one rounded to float32 to 1.2e-7 of its largest entry: a flipped bit of a weight shows.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Check is one comparison. Err is nil where it passed; Note marks a remark that counts as neither.
type Check struct {
	Folder string // as given and found
	Name   string // of the tensor, file or text
	How    string // dtype and route
	Err    error
	Note   bool
}

// String is the line of a report.
func (c Check) String() string {
	line := c.Folder + ": " + c.Name
	if c.How != "" {
		line += " (" + c.How + ")"
	}
	if c.Err != nil {
		line += ": " + c.Err.Error()
	}
	return line
}

// Summary counts checks.
type Summary struct{ Passed, Failed int }

// String is the last line of a report.
func (s Summary) String() string { return fmt.Sprintf("%d passed, %d failed", s.Passed, s.Failed) }

// Run verifies every fixture in the folders and below. report, if not nil, sees each check as it is made. The error is
// about what could not be tried at all; failed checks are counted.
func Run(ctx context.Context, d *xla.Device, dirs []string, report func(Check)) (Summary, error) {
	v := &verifier{ctx: ctx, device: d, emit: report, passes: map[string]*lm.Pass{}, runners: map[string]*lm.Runner{}}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return v.sum, err
		}
		if !info.IsDir() {
			return v.sum, fmt.Errorf("%s is a file; give the folder of the fixture, or one above it", dir)
		}
		before := v.sum
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case !e.IsDir():
				return nil
			case path != dir && strings.HasPrefix(e.Name(), "."):
				return filepath.SkipDir
			}
			return v.folder(path)
		})
		if err != nil {
			return v.sum, err
		}
		if v.sum == before {
			return v.sum, fmt.Errorf("%s holds nothing to verify: neither a model with reference tensors, nor operator cases, nor texts with token ids", dir)
		}
	}
	return v.sum, nil
}

type verifier struct {
	ctx    context.Context
	device *xla.Device
	emit   func(Check)
	sum    Summary

	mu      sync.Mutex
	passes  map[string]*lm.Pass // by configuration and dtype: folders with the same share compiled graphs
	runners map[string]*lm.Runner
}

// result records a check.
func (v *verifier) result(folder, name, how string, err error) {
	if err != nil {
		v.sum.Failed++
	} else {
		v.sum.Passed++
	}
	if v.emit != nil {
		v.emit(Check{Folder: folder, Name: name, How: how, Err: err})
	}
}

func (v *verifier) note(folder, name, text string) {
	if v.emit != nil {
		v.emit(Check{Folder: folder, Name: name, Err: errors.New(text), Note: true})
	}
}

// folder verifies one folder by what it holds.
func (v *verifier) folder(dir string) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	ev, err := findManifest(dir)
	if err != nil {
		v.result(dir, "manifest.json", "", err)
	}
	v.hashes(dir, names, ev)
	if slices.Contains(names, "config.json") {
		v.model(dir, names, ev)
	}
	for _, name := range names {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		switch filepath.Ext(name) {
		case ".safetensors":
			v.operator(dir, name, ev)
		case ".json":
			v.texts(dir, name)
		}
	}
	return nil
}
