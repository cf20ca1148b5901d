package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// The index leads to every notebook, and every notebook can be published.
func TestIndexLinksAllNotebooks(t *testing.T) {
	dir := "../../../notebooks"
	index, err := os.ReadFile(filepath.Join(dir, "index.ipynb"))
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, m := range regexp.MustCompile(`\]\((\w+\.ipynb)\)`).FindAllSubmatch(index, -1) {
		linked = append(linked, string(m[1]))
	}
	paths, err := filepath.Glob(filepath.Join(dir, "[0-9]*.ipynb"))
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, p := range paths {
		there = append(there, filepath.Base(p))
	}
	if slices.Sort(there); !slices.Equal(there, linked) {
		t.Errorf("the index links %v, there are %v", linked, there)
	}
}
