package notebook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stuffed/pkg/atomic"
)

// Environment variables of .ci/cell/go, which caches the programs of cells.
const (
	CellsVariable      = "STUFFED_CELLS"       // the cache folder, or off
	CellsLimitVariable = "STUFFED_CELLS_LIMIT" // in MiB
)

// CellPrograms counts the linked programs of cells that later kernels will find.
type CellPrograms struct {
	Folder string
	Number int
	Bytes  int64
}

// Cells counts the cached programs of cells. A folder that does not exist holds none; with STUFFED_CELLS=off there is no folder.
func Cells() (CellPrograms, error) {
	c := CellPrograms{Folder: os.Getenv(CellsVariable)}
	if c.Folder == "off" {
		return CellPrograms{}, nil
	}
	if c.Folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return c, err
		}
		c.Folder = filepath.Join(cache, "stuffed", "cells")
	}
	err := filepath.WalkDir(c.Folder, func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && !d.IsDir() {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // nothing cached yet, or removed by a kernel meanwhile
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		c.Bytes += info.Size()
		if d.Name() == "cell" {
			c.Number++
		}
		return nil
	})
	return c, err
}

// Clear removes the cached programs. It waits for those that a kernel is building; running cells have copies.
func (c CellPrograms) Clear() error {
	if c.Folder == "" {
		return nil
	}
	kept, err := filepath.Glob(filepath.Join(c.Folder, "*", "lock"))
	for _, path := range kept {
		err = errors.Join(err, clearCell(path))
	}
	return err
}

// clearCell removes a lock's folder under the same rule as .ci/cell/go: a folder may be removed only while its lock is held.
func clearCell(path string) error {
	lock, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := atomic.Lock(lock); err != nil {
		return err
	}
	held, err := lock.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(held, now) { // a kernel has removed it meanwhile
		return nil
	}
	dir := filepath.Dir(path)
	gone := fmt.Sprintf("%s.%d.%d", dir, os.Getpid(), time.Now().UnixNano()) // a name once used can hold a late lock
	return errors.Join(os.Rename(dir, gone), os.RemoveAll(gone))
}
