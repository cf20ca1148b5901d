package verify

import (
	"runtime"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// execute runs a graph once and names its results.
func execute(d *xla.Device, names []string, args []any, build func([]*graph.Node) []*graph.Node) (map[string]value, error) {
	e, err := graph.NewExec(d.Backend, build)
	if err != nil {
		return nil, err
	}
	defer e.Finalize()
	outs, err := e.Call(args...)
	if err != nil {
		return nil, err
	}
	values := map[string]value{}
	for i, name := range names {
		if values[name], err = valueOf(outs[i]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func stateShape(d recurrence.Dims) shapes.Shape {
	return shapes.Make(dtypes.Float32, d.Batch, d.Heads, d.HeadDim, d.State)
}

// outcome is what a computation gave.
type outcome struct {
	values map[string]value
	err    error
}

// parallel maps in order, as many at a time as there are processors.
func parallel[T, R any](in []T, f func(T) R) []R {
	out := make([]R, len(in))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range in {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			out[i] = f(in[i])
		})
	}
	wg.Wait()
	return out
}
