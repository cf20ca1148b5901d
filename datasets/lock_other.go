//go:build !unix

package datasets

import "os"

// lockFile knows no locks here.
func lockFile(*os.File) (locked bool, err error) { return false, nil }
