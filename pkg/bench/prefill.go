package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Prefill times one call that reads a prompt and returns the state and the last token's logits, and times its compilation.
func Prefill(ctx context.Context, d *xla.Device, name string, w *lm.Weights, options lm.Options, batch, tokens, runs int) []Row {
	options.Infer = true
	shape := fmt.Sprintf("%s B%d T%d %s", name, batch, tokens, products(options))
	compile, row := Row{Work: "compile", Shape: "prefill " + shape, Unit: "s", Runs: 1}, Row{Work: "prefill", Shape: shape}
	ids := make([]int32, batch*tokens)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % w.Model.Vocab())
	}
	r := lm.NewRunner(d, w)
	options.Members = w.Members
	r.Options, r.Piece = options, tokens
	state := lm.ZeroState(w.Model, batch, dtypes.Float32)
	prompt := slices.Collect(slices.Chunk(ids, tokens))
	call := func() error {
		after, err := r.Run(ctx, prompt, state, lm.Request{Last: true}, func(lm.Piece) error { return nil })
		if err != nil {
			return err
		}
		return after.Release()
	}
	start := time.Now()
	if err := guarded(call); err != nil {
		compile.Error, row.Error = err.Error(), err.Error()
		return []Row{compile, row}
	}
	compile = compile.once(time.Since(start).Seconds())
	return []Row{compile, guard(row, func() Row { return rates(row, runs, float64(batch*tokens), call) })}
}

// products names the dtype of matrix products.
func products(o lm.Options) string {
	if o.Compute == dtypes.BFloat16 {
		return "bf16"
	}
	return "f32"
}

func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}
