//go:build !linux

package figure

// exchange swaps two folders.
func exchange(a, b string) error { return swap(a, b, move) }
