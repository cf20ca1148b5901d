//go:build !noxla

package xla

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	goxla "github.com/gomlx/go-xla/compute/xla"

	"stuffed/xla/internal/gomlx"
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
		gomlx.KeepMemory()
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	opening.Lock()
	defer opening.Unlock()
	if kind == "cuda" { // before the plug-in reads it, and before programs are told apart by it
		flags, err := withoutFusionTuning(os.Getenv("XLA_FLAGS"), func() (bool, error) { return fileHolds(absolute, fusionTuning) })
		if err != nil {
			return nil, err
		}
		if flags != "" {
			os.Setenv("XLA_FLAGS", flags)
		}
	}
	keepPrograms(absolute)
	opened, err := goxla.New(absolute + strings.TrimPrefix(config, path))
	if err != nil {
		return nil, err
	}
	return opened, nil
}
