package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"stuffed/pkg/atomic"
)

// mergedRows is the minimum size of a row group in a merged file, the last one excepted; smaller parts are combined.
const mergedRows = 16384

// Writer writes a large table in pieces. When Append returns, its rows are on disk as a complete part in the folder <path>.parts, so
// Read(path) finds them even after a crash; Close merges the parts into the file.
type Writer struct {
	path  string
	like  *Table
	parts int
	done  bool
}

func partsDir(path string) string { return path + ".parts" }

func partName(path string, i int) string {
	return filepath.Join(partsDir(path), fmt.Sprintf("part-%06d%s", i, strings.ToLower(filepath.Ext(path))))
}

// listParts returns the paths of parts 0, 1, … up to the first gap.
func listParts(path string) ([]string, error) {
	var parts []string
	for i := 0; ; i++ {
		name := partName(path, i)
		if _, err := os.Stat(name); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return parts, nil
			}
			return parts, err
		}
		parts = append(parts, name)
	}
}

// NewWriter starts a table at path with the columns, types and Meta of like (its rows are not written). It removes the parts of an earlier
// interrupted run; Resume keeps them. An existing file at path stays until Close replaces it.
func NewWriter(path string, like *Table) (*Writer, error) {
	w, err := prepare(path, like)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(partsDir(path)); err != nil {
		return nil, err
	}
	return w, os.MkdirAll(partsDir(path), 0o755)
}

// Resume continues an interrupted table and returns the rows already written (none on a fresh start). The rows of a finished file at path
// count as written and become the first of the new parts.
func Resume(path string, like *Table) (*Writer, *Table, error) {
	w, err := prepare(path, like)
	if err != nil {
		return nil, nil, err
	}
	parts, err := listParts(path)
	if err != nil {
		return nil, nil, err
	}
	if len(parts) == 0 { // without the first, later parts are what Close had not yet removed
		if err := os.RemoveAll(partsDir(path)); err != nil {
			return nil, nil, err
		}
	}
	if err := os.MkdirAll(partsDir(path), 0o755); err != nil {
		return nil, nil, err
	}
	if len(parts) == 0 {
		former, err := readFile(path, w.like)
		if errors.Is(err, fs.ErrNotExist) {
			return w, w.like.Take(nil), nil
		}
		if err != nil {
			return nil, nil, err
		}
		return w, former, w.Append(former)
	}
	former := w.like.Take(nil)
	for _, part := range parts {
		t, err := readFile(part, w.like)
		if err != nil {
			return nil, nil, err
		}
		if t, err = w.conform(t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", part, err)
		}
		if err := former.Append(t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", part, err)
		}
	}
	w.parts = len(parts)
	return w, former, nil
}

// Continue resumes an interrupted table after its first parts parts and removes later ones. Unlike Resume it reads no rows, for callers
// that already know what has been written.
func Continue(path string, like *Table, parts int) (*Writer, error) {
	w, err := prepare(path, like)
	if err != nil {
		return nil, err
	}
	there, err := listParts(path)
	if err != nil {
		return nil, err
	}
	if len(there) < parts {
		return nil, fmt.Errorf("%s: %d parts are there, %d are needed to go on; remove %s to start again", path, len(there), parts, partsDir(path))
	}
	for _, later := range slices.Backward(there[parts:]) {
		if err := os.Remove(later); err != nil {
			return nil, err
		}
	}
	w.parts = parts
	return w, os.MkdirAll(partsDir(path), 0o755)
}

// Parts returns the number of parts written so far.
func (w *Writer) Parts() int { return w.parts }

func prepare(path string, like *Table) (*Writer, error) {
	if _, err := isParquet(path); err != nil {
		return nil, err
	}
	if err := like.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(like.Columns) == 0 {
		return nil, fmt.Errorf("%s: a table without columns cannot be written", path)
	}
	return &Writer{path: path, like: like.Take(nil)}, nil
}

// conform converts t to the writer's column order and types.
func (w *Writer) conform(t *Table) (*Table, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if err := t.Require(w.like.Names()...); err != nil {
		return nil, err
	}
	if err := w.like.Require(t.Names()...); err != nil {
		return nil, err
	}
	out := &Table{Meta: w.like.Meta}
	for i := range w.like.Columns {
		want := &w.like.Columns[i]
		c := Column{Name: want.Name}
		var err error
		switch {
		case want.Ints != nil:
			c.Ints, err = t.Int(want.Name)
		case want.Floats != nil:
			c.Floats, err = t.Float(want.Name)
		default:
			c.Texts, err = t.Text(want.Name)
		}
		if err != nil {
			return nil, err
		}
		out.Columns = append(out.Columns, fill(c, want))
	}
	return out, nil
}

// fill gives an empty column the type of want, since nil slices do not carry one.
func fill(c Column, want *Column) Column {
	switch {
	case want.Ints != nil && c.Ints == nil:
		c.Ints = []int64{}
	case want.Floats != nil && c.Floats == nil:
		c.Floats = []float64{}
	case want.Texts != nil && c.Texts == nil:
		c.Texts = []string{}
	}
	return c
}

// Append writes the rows of t durably as the next part; an empty t is ignored.
func (w *Writer) Append(t *Table) error { return w.AppendAll(t) }

// AppendAll is Append for several tables, whose parts are written concurrently.
func (w *Writer) AppendAll(tables ...*Table) error {
	if w.done {
		return fmt.Errorf("%s: the writer is closed", w.path)
	}
	var parts []*Table
	for _, t := range tables {
		t, err := w.conform(t)
		if err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		if t.Rows() > 0 {
			parts = append(parts, t)
		}
	}
	errs := make([]error, len(parts))
	var group sync.WaitGroup
	for i, t := range parts {
		group.Go(func() { errs[i] = t.Write(partName(w.path, w.parts+i)) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		for i := range parts {
			os.Remove(partName(w.path, w.parts+i))
		}
		return err
	}
	w.parts += len(parts)
	return nil
}

// Close merges the parts into the file at path and removes them. Large parts are copied as row groups; small ones are read again and
// combined. At most one row group is held in memory.
func (w *Writer) Close() error {
	if w.done {
		return nil
	}
	asParquet, err := isParquet(w.path)
	if err != nil {
		return err
	}
	err = atomic.Write(w.path, func(out io.Writer) error {
		if asParquet {
			return w.mergeParquet(out)
		}
		return w.mergeCSV(out)
	})
	if err != nil {
		return err
	}
	w.done = true
	return os.RemoveAll(partsDir(w.path))
}

// mergeCSV copies the lines after each part's header.
func (w *Writer) mergeCSV(out io.Writer) error {
	var header bytes.Buffer
	if err := encodeCSV(&header, w.like); err != nil {
		return err
	}
	if _, err := out.Write(header.Bytes()); err != nil {
		return err
	}
	for i := range w.parts {
		data, err := os.ReadFile(partName(w.path, i))
		if err != nil {
			return err
		}
		lines, found := bytes.CutPrefix(data, header.Bytes())
		if !found {
			return fmt.Errorf("%s: other columns than %s", partName(w.path, i), w.like.Names())
		}
		if _, err := out.Write(lines); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) mergeParquet(out io.Writer) error {
	if large, err := w.large(); err != nil || large {
		if err != nil {
			return err
		}
		return w.copyParquet(out)
	}
	e := newEncoder(out, w.like)
	pending := w.like.Take(nil)
	for i := range w.parts {
		t, err := readFile(partName(w.path, i), w.like)
		if err != nil {
			return err
		}
		if err := pending.Append(t); err != nil {
			return err
		}
		if pending.Rows() >= mergedRows || i == w.parts-1 {
			if err := e.rowGroup(pending); err != nil {
				return err
			}
			pending = w.like.Take(nil)
		}
	}
	return e.close()
}

// Abort closes the writer and keeps its parts, so that Read and Resume find the rows appended so far. After Close it has no effect.
func (w *Writer) Abort() { w.done = true }
