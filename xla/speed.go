package xla

import (
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// ProductRate measures how many operations per second the device performs in float32 matrix products, an upper bound for a model.
func (d *Device) ProductRate() (operations float64, err error) {
	n, repeats := 512, 4
	if d.Kind == "cuda" {
		n, repeats = 4096, 16
	}
	e, err := NewExec(d.Backend, func(seed *Node) *Node {
		x := BroadcastToShape(seed, shapes.Make(dtypes.Float32, n, n))
		y := x
		for range repeats {
			y = MulScalar(Dot(y, x).Product(), 1/float64(n))
		}
		return ReduceAllSum(y)
	})
	if err != nil {
		return 0, err
	}
	defer e.Finalize()
	if _, err := e.Call(float32(1)); err != nil { // compiles
		return 0, err
	}
	runs, start := 0, time.Now()
	for runs == 0 || time.Since(start) < 200*time.Millisecond {
		out, err := e.Call(float32(1))
		if err != nil {
			return 0, err
		}
		if err := out[0].FinalizeAll(); err != nil {
			return 0, err
		}
		runs++
	}
	return 2 * float64(n) * float64(n) * float64(n) * float64(repeats*runs) / time.Since(start).Seconds(), nil
}
