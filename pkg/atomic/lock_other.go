//go:build !unix

package atomic

import "os"

// Lock does nothing and returns false: this platform has no flock.
func Lock(*os.File) (locked bool, err error) { return false, nil }
