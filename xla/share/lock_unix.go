//go:build unix

package share

import (
	"os"
	"syscall"
)

// lock locks a file unless another process, or another descriptor of this one, holds it.
func lock(f *os.File) (free bool, err error) {
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == syscall.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}
