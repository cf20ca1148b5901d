package gomlx

import (
	"os"
	"sync"

	"github.com/gomlx/compute"
)

var stdout sync.Mutex

// Quietly runs open with standard output suppressed: the Go backend prints its options there.
func Quietly(open func() (compute.Backend, error)) (compute.Backend, error) {
	stdout.Lock()
	defer stdout.Unlock()
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		defer null.Close()
		defer func(old *os.File) { os.Stdout = old }(os.Stdout)
		os.Stdout = null
	}
	return open()
}
