package figure

import (
	"os"
	"path/filepath"

	"stuffed/pkg/atomic"
	"stuffed/pkg/table"
)

// writeFolder replaces a folder by one with exactly these files: it writes them to a temporary folder, syncs it and swaps the two.
func writeFolder(path string, files map[string][]byte) error {
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the exchange it holds the previous figure
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := atomic.Bytes(filepath.Join(tmp, name), data); err != nil {
			return err
		}
	}
	err = os.Rename(tmp, path)
	if err == nil { // first version
		return nil
	}
	if _, absent := os.Lstat(path); absent != nil {
		return err
	}
	return exchange(tmp, path)
}

// throughCSV round-trips the table through CSV, so that the figure is drawn from exactly what is saved.
func throughCSV(t *table.Table) (*table.Table, error) {
	var read *table.Table
	err := inScratch(t, func(path string) (err error) {
		read, err = table.Read(path)
		return err
	})
	return read, err
}

func csvBytes(t *table.Table) ([]byte, error) {
	var data []byte
	err := inScratch(t, func(path string) (err error) {
		data, err = os.ReadFile(path)
		return err
	})
	return data, err
}

func inScratch(t *table.Table, use func(path string) error) error {
	dir, err := os.MkdirTemp("", "figure-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "points.csv")
	if err := t.Write(path); err != nil {
		return err
	}
	return use(path)
}
