package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stuffed/pkg/table"
)

// Shipped is the folder of the project's own stores, one subfolder per plan.
var Shipped = filepath.Join("datasets", "study")

// tablesOf returns the folder of the collected tables of a plan.
func tablesOf(root, plan string) string { return filepath.Join(root, plan, "tables") }

// Read reads a collected table of a plan's store in root. If it is missing, the error names the commands that create it.
func Read(root, plan, name string) (*table.Table, error) {
	t, err := table.Read(filepath.Join(tablesOf(root, plan), name+".parquet"))
	if errors.Is(err, fs.ErrNotExist) {
		store := filepath.Join(root, plan)
		return nil, fmt.Errorf("the results of study %s are not in %s; make them in the project's folder with: stuffed study run %s --store %s && stuffed study collect %s --store %s: %w",
			plan, store, plan, store, plan, store, fs.ErrNotExist)
	}
	return t, err
}

// Source returns the manifest of a collected study, to be recorded in the manifests of figures drawn from it.
func Source(root, plan string) (any, error) {
	data, err := os.ReadFile(filepath.Join(tablesOf(root, plan), "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("study %s: %w", plan, err)
	}
	var m collected
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("study %s: manifest: %w", plan, err)
	}
	return map[string]any{"study": plan, "made": m.Made, "inputs": m.Files}, nil
}

// Collected reports whether a plan's store in root has collected tables.
func Collected(root, plan string) bool {
	_, err := os.Stat(filepath.Join(tablesOf(root, plan), "manifest.json"))
	return err == nil
}
