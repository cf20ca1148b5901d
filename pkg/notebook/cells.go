package notebook

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Variables of .ci/cell/go, which keeps the programs of cells.
const (
	CellsVariable      = "STUFFED_CELLS"       // its folder, or off
	CellsLimitVariable = "STUFFED_CELLS_LIMIT" // in MiB
)

// CellPrograms are the linked programs of cells that later kernels find again.
type CellPrograms struct {
	Folder string
	Number int
	Bytes  int64
}

// Cells counts the kept programs of cells; a folder that does not exist holds none, and with STUFFED_CELLS=off there is no folder.
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
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		c.Bytes += info.Size()
		if d.Name() == "cell" {
			c.Number++
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // or removed by a kernel meanwhile
		err = nil
	}
	return c, err
}

// Clear removes the kept programs; cells that run have copies.
func (c CellPrograms) Clear() error {
	if c.Folder == "" {
		return nil
	}
	kept, err := filepath.Glob(filepath.Join(c.Folder, "*", "cell"))
	for _, path := range kept {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(path)))
	}
	return err
}
