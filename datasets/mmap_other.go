//go:build !unix

package datasets

import "os"

// mapFile reads a file whole where there is no mmap.
func mapFile(path string) (raw []byte, unmap func() error, err error) {
	raw, err = os.ReadFile(path)
	return raw, func() error { return nil }, err
}
