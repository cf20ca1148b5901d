package bench

import (
	"context"
	"fmt"

	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

// Trace times a pass with all state statistics, written to files, against the same pass without them.
func Trace(ctx context.Context, d *xla.Device, name string, w *lm.Weights, options lm.Options, piece, tokens int) []Row {
	shape := fmt.Sprintf("%s B1 T%d %s", name, tokens, products(options))
	r := lm.NewRunner(d, w)
	options.Infer = true
	r.Options, r.Piece = options, piece
	o, err := trace.Measure(ctx, r, tokens, trace.Config{})
	if err != nil {
		return []Row{{Work: "trace", Shape: shape, Error: err.Error()}}
	}
	row := func(what, unit string, v float64, note string) Row {
		return Row{Work: "trace", Shape: shape + " " + what, Unit: unit, Median: v, Min: v, Max: v, Runs: 1, Note: note}
	}
	return []Row{
		row("without statistics", "tok/s", float64(tokens)/o.Plain, ""),
		row("with statistics", "tok/s", float64(tokens)/o.Traced, fmt.Sprintf("%.2f times the time; %.0f MiB resident at most", o.Ratio, float64(o.Resident)/(1<<20))),
	}
}
