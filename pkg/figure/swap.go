package figure

import (
	"errors"
	"os"
	"syscall"
)

// swap exchanges two paths in three renames and undoes the first when the second fails.
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

// move renames a folder, or copies it where it may not be renamed: a folder of a container's image belongs to a lower layer.
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
