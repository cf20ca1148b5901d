package figure

import (
	"errors"
	"os"
	"syscall"
)

// swap exchanges two paths with three renames and undoes the first if the second fails.
func swap(a, b string, rename func(from, to string) error) error {
	spare := a + ".former"
	if err := rename(b, spare); err != nil {
		return err
	}
	if err := rename(a, b); err != nil {
		_ = rename(spare, b)
		return err
	}
	return rename(spare, a)
}

// move renames a folder, or copies it where renaming fails, as for a folder in a lower layer of a container image.
func move(from, to string) error { return moveBy(os.Rename, from, to) }

func moveBy(rename func(from, to string) error, from, to string) error {
	err := rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	return os.RemoveAll(from)
}
