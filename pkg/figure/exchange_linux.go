package figure

import "golang.org/x/sys/unix"

// exchange swaps two folders in one step, or in two where the file system cannot.
func exchange(a, b string) error {
	if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
		return nil
	}
	return swap(a, b, move)
}
