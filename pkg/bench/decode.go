package bench

import (
	"context"
	"fmt"
	"time"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Decode times greedy generation of n tokens for each of batch sequences, chunk tokens per graph call.
func Decode(ctx context.Context, d *xla.Device, name string, w *lm.Weights, options lm.Options, batch, n, chunk, runs int) Row {
	form := ""
	if options.NoKernels {
		form = ", without kernels"
	}
	row := Row{Work: "decode", Shape: fmt.Sprintf("%s B%d %s%s", name, batch, products(options), form), Note: fmt.Sprintf("%d tokens per call", chunk)}
	r := lm.NewRunner(d, w)
	options.Infer = true
	r.Options = options
	last := make([]int32, batch)
	for i := range last {
		last[i] = int32(i * 31 % w.Model.Vocab())
	}
	return guard(row, func() Row {
		rows := make([][]int32, batch)
		for i := range rows {
			rows[i] = last[i:][:1]
		}
		state, err := r.Run(ctx, rows, nil, lm.Request{}, nil) // created on the device, where it stays
		if err != nil {
			row.Error = err.Error()
			return row
		}
		var first time.Duration
		row = rates(row, runs, float64(batch*n), func() error {
			start := time.Now()
			_, err := r.Continue(ctx, state, last, 0, n, lm.Sampling{Chunk: chunk}, nil, nil)
			if first == 0 {
				first = time.Since(start)
			}
			return err
		})
		row.Note += fmt.Sprintf(", first run %.1f s", first.Seconds())
		return row
	})
}
