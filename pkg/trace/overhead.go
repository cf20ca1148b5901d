package trace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Overhead compares a traced pass with the same pass, in the same pieces, without statistics. Both score every token; prefill does neither.
type Overhead struct {
	Tokens   int     `json:"tokens"`
	Prefill  float64 `json:"prefill_seconds"`
	Plain    float64 `json:"plain_seconds"`
	Traced   float64 `json:"traced_seconds"`
	Ratio    float64 `json:"ratio"`          // traced / plain
	Rows     int64   `json:"rows"`           // of the state table
	Before   int64   `json:"before_bytes"`   // peak resident memory of the whole process before the long traced pass; 0 where the system does not report it
	Resident int64   `json:"resident_bytes"` // the same after the pass
}

// Measure times both passes over the given number of tokens, after a short run of each that compiles the graphs. The traced pass writes
// all its tables to a temporary folder.
func Measure(ctx context.Context, r *lm.Runner, tokens int, c Config) (Overhead, error) {
	c = c.filled(r.Weights.Model)
	vocab := r.Weights.Model.Vocab()
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32((uint64(i)*2654435761 + uint64(i)*uint64(i)*40503>>3) % uint64(vocab))
	}
	dir, err := os.MkdirTemp("", "trace")
	if err != nil {
		return Overhead{}, err
	}
	defer os.RemoveAll(dir)
	d, err := dimsOf(r.Weights.Model, c.State)
	if err != nil {
		return Overhead{}, err
	}
	own := traced(r, c.every())
	pass := func(loss bool) func(n int) error {
		return func(n int) error {
			state, err := own.Run(ctx, [][]int32{ids[:n]}, nil, lm.Request{Loss: loss}, func(lm.Piece) error { return nil })
			if err != nil {
				return err
			}
			_, err = lm.Float64s(state[d.spec.Name]) // wait for the device
			return err
		}
	}
	through := func(n int) error {
		return Write(ctx, own, []prompt.Probe{{Name: "text", IDs: ids[:n]}}, c, filepath.Join(dir, fmt.Sprint(n, ".parquet")))
	}
	o := Overhead{Tokens: tokens, Rows: int64((tokens+c.Bucket-1)/c.Bucket) * int64(d.layers*d.heads)}
	short := min(tokens/2, 4*max(r.Piece, c.Bucket))
	for _, run := range []struct {
		pass    func(n int) error
		seconds *float64
	}{{pass(false), &o.Prefill}, {pass(true), &o.Plain}, {through, &o.Traced}} {
		if err := run.pass(short); err != nil {
			return o, err
		}
		o.Before = xla.Resident()
		start := time.Now()
		if err := run.pass(tokens); err != nil {
			return o, err
		}
		*run.seconds = time.Since(start).Seconds()
	}
	o.Ratio, o.Resident = o.Traced/o.Plain, xla.Resident()
	return o, nil
}
