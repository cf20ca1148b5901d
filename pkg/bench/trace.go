package bench

import (
	"context"
	"fmt"

	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

// Trace times a pass with all state statistics, written to files, against the same pass without them, for several bucket lengths.
func Trace(ctx context.Context, d *xla.Device, name string, w *lm.Weights, options lm.Options, piece, tokens int, buckets ...int) (rows []Row) {
	shape := fmt.Sprintf("%s B1 T%d %s in pieces of %d", name, tokens, products(options), piece)
	r := lm.NewRunner(d, w)
	options.Infer = true
	r.Options, r.Piece = options, piece
	add := func(what string, seconds float64, note string) {
		rows = append(rows, Row{Work: "trace", Shape: shape + " " + what, Unit: "tok/s", Note: note}.once(float64(tokens)/seconds))
	}
	for i, bucket := range buckets {
		o, err := trace.Measure(ctx, r, tokens, trace.Config{Bucket: bucket})
		if err != nil {
			return append(rows, Row{Work: "trace", Shape: fmt.Sprint(shape, " buckets of ", bucket), Error: err.Error()})
		}
		if i == 0 {
			add("prefill alone", o.Prefill, "")
			add("the same pass without statistics", o.Plain, "every token scored")
		}
		const gib = 1 << 30
		add(fmt.Sprint("all heads, buckets of ", bucket), o.Traced, fmt.Sprintf("%.2f times the time, %.0f %% of the speed (%.0f %% of prefill alone), %d rows; largest resident memory %.2f GiB, %.2f before",
			o.Ratio, 100/o.Ratio, 100*o.Prefill/o.Traced, o.Rows, float64(o.Resident)/gib, float64(o.Before)/gib))
	}
	return rows
}
