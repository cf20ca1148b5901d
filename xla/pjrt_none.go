//go:build noxla

package xla

import (
	"errors"

	"github.com/gomlx/compute"
)

func newXLA(kind, path, config string) (compute.Backend, error) {
	return nil, errors.New("this program was built without XLA (build tag noxla, chosen where gcc is missing)")
}
