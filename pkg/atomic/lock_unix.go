//go:build unix

package atomic

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock waits until no other process has the file or folder, and has it until it is closed; false: the file system knows no locks.
func Lock(f *os.File) (locked bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK):
			return false, nil
		}
		return err == nil, err
	}
}
