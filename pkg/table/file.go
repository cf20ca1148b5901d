package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// Read reads a .csv or .parquet file. Where the file is missing but an
// interrupted Writer left complete parts, it returns their rows.
func Read(path string) (*Table, error) {
	if _, err := isParquet(path); err != nil {
		return nil, err
	}
	t, err := readFile(path, nil)
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
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t, err := decodeParquet(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Write writes the table to a .csv or .parquet file, complete or not at all.
// Folders are made as needed.
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
	return Atomic(path, func(w io.Writer) error {
		if asParquet {
			return encodeParquet(w, t)
		}
		return encodeCSV(w, t)
	})
}

// Atomic writes a file of any kind through a temporary file in the same
// folder, fsync and rename: on any error the former file stays as it was.
func Atomic(path string, write func(w io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// AtomicBytes is Atomic for content already in memory.
func AtomicBytes(path string, data []byte) error {
	return Atomic(path, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some network file systems refuse fsync on folders; the rename has happened all the same.
	_ = d.Sync()
	return nil
}
