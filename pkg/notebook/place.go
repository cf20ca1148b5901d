// Package notebook is what cells of the Go notebooks call to show things: figures, tables and progress in a browser, plain text
// anywhere else. It also runs notebooks without a browser and checks that they can be published.
package notebook

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/progress"
)

// Environment variables that the runner sets and that users may set.
const (
	ScaleVariable    = "STUFFED_SCALE"           // smoke, small or full
	HeadlessVariable = progress.HeadlessVariable // if set to publish, pictures are small
	nameVariable     = "STUFFED_NOTEBOOK"        // name of the notebook being executed by the runner
	folderVariable   = "GONB_DIR"                // folder of the notebook, set by the kernel
)

// publish is the value of HeadlessVariable when results are kept in the notebooks.
const publish = progress.Publish

// Progress reports on a long step; see package progress.
type Progress = progress.Progress

// NewProgress starts a step of total units (tokens, rows …); 0 means that the total is unknown.
func NewProgress(label string, total int64, unit string) *Progress {
	return progress.New(label, total, unit)
}

// The scales of a run: smoke checks that cells work, small takes minutes on two cores, full needs a GPU.
var Scales = []string{"smoke", "small", "full"}

// Scale returns the scale of the run from STUFFED_SCALE, small if it is not set.
func Scale() (string, error) {
	s := os.Getenv(ScaleVariable)
	if s == "" {
		return "small", nil
	}
	return s, checkScale(s)
}

// Choose returns the value for the scale of the run; the parameters of a notebook are declared with it. An unknown scale ends the
// cell.
func Choose[T any](smoke, small, full T) T {
	s, err := Scale()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	return []T{smoke, small, full}[slices.Index(Scales, s)]
}

func checkScale(s string) error {
	if slices.Contains(Scales, s) {
		return nil
	}
	return fmt.Errorf("scale %q is not one of %s; set %s or use make notebooks SCALE=small",
		s, strings.Join(Scales, ", "), ScaleVariable)
}

// Root finds the project's folder, searching upwards from the notebook's folder or, outside a notebook, from the working
// directory.
func Root() (string, error) {
	start := os.Getenv(folderVariable)
	if start == "" {
		var err error
		if start, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if module(filepath.Join(dir, "go.mod")) == "stuffed" {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("neither %s nor a folder above it is the project's (with the go.mod of module stuffed): "+
				"open the notebook from the project's folder notebooks, with make lab", filepath.Base(start))
		}
	}
}

func module(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, found := strings.CutPrefix(strings.TrimSpace(lines.Text()), "module "); found {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
