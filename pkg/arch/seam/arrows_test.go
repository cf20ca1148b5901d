package seam

import (
	"go/build"
	"path/filepath"
	"strings"
	"testing"
)

// needs lists the packages of the module that a package imports, directly or transitively.
func needs(t *testing.T, pkg string, seen map[string]bool) {
	t.Helper()
	dir := filepath.Join("../../..", filepath.FromSlash(strings.TrimPrefix(pkg, "stuffed/")))
	p, err := build.Default.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Imports {
		if strings.HasPrefix(name, "stuffed/") && !seen[name] {
			seen[name] = true
			needs(t, name, seen)
		}
	}
}

// Packages that compute import none that draw, and the study engine imports neither the paper's packages nor notebooks.
func TestArrowsPointOneWay(t *testing.T) {
	for _, pkg := range []string{"study", "models", "train", "trace", "eval", "intervene", "task", "lm"} {
		seen := map[string]bool{}
		needs(t, "stuffed/pkg/"+pkg, seen)
		for _, above := range []string{"notebook", "figure", "report", "view", "paper", "cmd/stuffed"} {
			if seen["stuffed/pkg/"+above] {
				t.Errorf("pkg/%s imports pkg/%s, maybe through others", pkg, above)
			}
		}
	}
}
