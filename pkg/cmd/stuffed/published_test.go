package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"stuffed/pkg/figure"
)

// What is published names no machine and no person: figures, notebooks, tables and manifests hold no absolute path,
// host or user name.
func TestPublishedFilesArePrivate(t *testing.T) {
	texts := []string{".json", ".jsonl", ".csv", ".svg", ".ipynb", ".md", ".pdf", ".cff", ".tsv"}
	seen := 0
	for _, dir := range []string{"figures", "notebooks", "datasets", "README.md", "CITATION.cff"} {
		err := filepath.WalkDir(filepath.Join("../../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains(texts, filepath.Ext(path)) {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			seen++
			if err := figure.Private(data); err != nil {
				t.Errorf("%s %v", path, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 5 {
		t.Errorf("only %d files were looked at", seen)
	}
}
