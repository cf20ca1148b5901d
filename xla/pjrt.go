//go:build !noxla

package xla

import (
	"fmt"
	"os"

	"github.com/gomlx/compute"
	goxla "github.com/gomlx/go-xla/compute/xla"
)

// newXLA opens a checked plug-in; config is its path and go-xla's options.
func newXLA(kind, path, config string) (b compute.Backend, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("refused: %v", r)
		}
	}()
	for name, value := range map[string]string{"GOMLX_NO_AUTO_INSTALL": "1", "GOPJRT_CUDA_CHECKS": "0"} {
		if os.Getenv(name) == "" {
			os.Setenv(name, value)
		}
	}
	if kind == "cpu" {
		keepMemory()
	}
	opened, err := goxla.New(config)
	if err != nil {
		return nil, err
	}
	return opened, nil
}
