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
	sum, root := Summary{}, &verifier{ctx: ctx, device: d, shared: &shared{passes: map[string]*lm.Pass{}, runners: map[string]*lm.Runner{}}}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return sum, fmt.Errorf("%s: there is no such folder; give that of a fixture, or one above it", dir)
		}
		if err != nil {
			return sum, err
		}
		if !info.IsDir() {
			return sum, fmt.Errorf("%s is a file; give the folder of the fixture, or one above it", dir)
		}
		var units []unit
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case !e.IsDir():
				return nil
			case path != dir && strings.HasPrefix(e.Name(), "."):
				return filepath.SkipDir
			}
			some, err := root.folder(path)
			units = append(units, some...)
			return err
		})
		if err != nil {
			return sum, err
		}
		before := sum
		root.side(units, func(checks []Check) {
			for _, c := range checks {
				switch {
				case c.Note:
				case c.Err != nil:
					sum.Failed++
				default:
					sum.Passed++
				}
				if report != nil {
					report(c)
				}
			}
		})
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		if sum == before {
			return sum, fmt.Errorf("%s holds nothing to verify: neither a model with reference tensors, nor operator cases, nor texts with token ids", dir)
		}
	}
	return sum, nil
}

// verifier collects the checks of one unit of work.
type verifier struct {
	ctx    context.Context
	device *xla.Device
	checks []Check
	*shared
}

// shared is what units have in common.
type shared struct {
	mu      sync.Mutex
	passes  map[string]*lm.Pass // by configuration and dtype: folders with the same share compiled graphs
	runners map[string]*lm.Runner
}

// unit makes checks that depend on no other unit's.
type unit func(v *verifier)

// side runs units side by side, as most of the time is the compiler's, and gives their checks to done in the order of the units, as
// soon as those before are there.
func (v *verifier) side(units []unit, done func([]Check)) {
	var mu sync.Mutex
	finished, given := make([]*verifier, len(units)), 0
	places := make([]int, len(units))
	for i := range places {
		places[i] = i
	}
	parallel(places, func(i int) (none struct{}) {
		own := &verifier{ctx: v.ctx, device: v.device, shared: v.shared}
		if v.ctx.Err() == nil {
			units[i](own)
		}
		mu.Lock()
		defer mu.Unlock()
		for finished[i] = own; given < len(units) && finished[given] != nil; given++ {
			done(finished[given].checks)
		}
		return
	})
}

// result records a check.
func (v *verifier) result(folder, name, how string, err error) {
	v.checks = append(v.checks, Check{Folder: folder, Name: name, How: how, Err: err})
}

func (v *verifier) note(folder, name, text string) {
	v.checks = append(v.checks, Check{Folder: folder, Name: name, Err: errors.New(text), Note: true})
}

// folder lists the units of one folder by what it holds.
func (v *verifier) folder(dir string) (units []unit, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	ev, err := findManifest(dir)
	units = append(units, func(v *verifier) {
		if err != nil {
			v.result(dir, "manifest.json", "", err)
		}
		v.hashes(dir, names, ev)
	})
	if slices.Contains(names, "config.json") {
		units = append(units, func(v *verifier) { v.model(dir, names, ev) })
	}
	for _, name := range names {
		switch filepath.Ext(name) {
		case ".safetensors":
			units = append(units, func(v *verifier) { v.operator(dir, name, ev) })
		case ".json":
			units = append(units, func(v *verifier) { v.texts(dir, name) })
		}
	}
	return units, nil
}
