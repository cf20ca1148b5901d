//go:build unix

package datasets

import (
	"fmt"

	"golang.org/x/sys/unix"

	"stuffed/pkg/atomic"
)

// mapFile maps a file into memory, read only.
func mapFile(path string) (raw []byte, unmap func() error, err error) {
	f, size, err := atomic.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if size == 0 || size != int64(int(size)) {
		return nil, nil, fmt.Errorf("%s: %d bytes cannot be mapped", path, size)
	}
	raw, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw, func() error { return unix.Munmap(raw) }, nil
}
