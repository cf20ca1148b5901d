// Package atomic writes files that appear complete or not at all, and reads such files.
package atomic

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Write fills a temporary file in the folder of path, made where it is missing, flushes it to the disk and renames it to path. On
// an error, which names path, the former file stays and nothing else is left behind.
func Write(path string, fill func(io.Writer) error) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*.tmp")
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
	w := bufio.NewWriterSize(f, 1<<18)
	for _, step := range []func() error{
		func() error { return fill(w) },
		w.Flush,
		func() error { return f.Chmod(0o644) },
		f.Sync,
		f.Close,
		func() error { return os.Rename(f.Name(), path) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return Sync(folder)
}

// Bytes is Write for content already in memory.
func Bytes(path string, content []byte) error {
	return Write(path, func(w io.Writer) error { _, err := w.Write(content); return err })
}

// Sync flushes a file, or the names in a folder, to the disk. Folders of some network file systems cannot be flushed: there the
// names are as safe as the system makes them.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if info, statErr := f.Stat(); statErr == nil && info.IsDir() && (errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)) {
		return nil
	}
	return err
}
