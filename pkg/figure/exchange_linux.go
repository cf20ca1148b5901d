package figure

import "golang.org/x/sys/unix"

// exchange swaps two folders atomically, or non-atomically where the file system does not support that.
func exchange(a, b string) error {
	if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
		return nil
	}
	return swap(a, b, move)
}
