package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Notebooks ship as JupyterLab writes them: opening and saving one changes nothing. It sorts keys, indents by one space and
// keeps a source as its lines.
func TestNotebooksShipAsJupyterLabWritesThem(t *testing.T) {
	err := filepath.WalkDir("../../../notebooks", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".ipynb" {
			return err
		}
		if filepath.Base(filepath.Dir(path)) == ".ipynb_checkpoints" {
			return nil
		}
		checkForm(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkForm(t *testing.T, path string) {
	t.Helper()
	shipped, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var nb map[string]any
	d := json.NewDecoder(bytes.NewReader(shipped))
	d.UseNumber()
	if err := d.Decode(&nb); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for i, c := range nb["cells"].([]any) {
		if _, lines := c.(map[string]any)["source"].([]any); !lines {
			t.Errorf("%s: the source of cell %d is not a list of lines", path, i+1)
		}
	}
	var saved bytes.Buffer
	e := json.NewEncoder(&saved)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(nb); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, saved.Bytes()) {
		t.Errorf("%s: JupyterLab writes other bytes: save it there, or run stuffed notebooks run --in-place", path)
	}
}
