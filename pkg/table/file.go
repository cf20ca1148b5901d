package table

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stuffed/pkg/atomic"
)

func isParquet(path string) (bool, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".parquet":
		return true, nil
	case ".csv":
		return false, nil
	default:
		return false, fmt.Errorf("%s: extension %q is not known, use .csv or .parquet", path, ext)
	}
}

// CheckPath returns an error if no table can be written under this file name, so that callers can fail before doing any work.
func CheckPath(path string) error {
	_, err := isParquet(path)
	return err
}

// Read reads a .csv or .parquet file. Where the file is missing but an
// interrupted Writer left complete parts, it returns their rows.
func Read(path string) (*Table, error) {
	if _, err := isParquet(path); err != nil {
		return nil, err
	}
	t, err := readFile(path, nil)
	if err == nil {
		t.from = path
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	parts, partsErr := listParts(path)
	if partsErr != nil || len(parts) == 0 {
		return nil, err
	}
	whole := New()
	for _, part := range parts {
		t, err := readFile(part, nil)
		if err != nil {
			return nil, err
		}
		if whole.Columns == nil {
			whole.Meta = t.Meta
		}
		if err := whole.Append(t); err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
	}
	return whole, nil
}

func readFile(path string, like *Table) (*Table, error) {
	asParquet, err := isParquet(path)
	if err != nil {
		return nil, err
	}
	if !asParquet {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		t, err := decodeCSV(data, like)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	}
	f, size, err := atomic.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := decodeParquet(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Write writes the table atomically to a .csv or .parquet file and creates missing folders.
func (t *Table) Write(path string) error {
	asParquet, err := isParquet(path)
	if err != nil {
		return err
	}
	if err := t.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("%s: a table without columns cannot be written", path)
	}
	return atomic.Write(path, func(w io.Writer) error {
		if asParquet {
			return encodeParquet(w, t)
		}
		return encodeCSV(w, t)
	})
}
