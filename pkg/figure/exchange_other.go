//go:build !linux

package figure

import "os"

// exchange swaps two folders.
func exchange(a, b string) error { return swap(a, b, os.Rename) }
