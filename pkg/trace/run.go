package trace

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// ahead is the number of pieces that the device may run ahead of the host.
const ahead = 2

// progress is the position of a run between two pieces.
type progress struct {
	batch    int       // index of the batch
	position int       // tokens of the batch already traced
	state    lm.State  // state after them, nil at the start of a batch
	sums     []float64 // log_retention
}

// Collect traces the prompts in memory and returns the tables by name: States, Losses and those that the config requests.
func Collect(ctx context.Context, r *lm.Runner, probes []prompt.Probe, c Config) (map[string]*table.Table, error) {
	c = c.filled(r.Weights.Model)
	_, all := buffers(c)
	if err := run(ctx, r, probes, c, all, progress{}, func(progress) error { return nil }); err != nil {
		return nil, err
	}
	out := map[string]*table.Table{}
	for name, b := range all {
		out[name] = b.table()
	}
	return out, nil
}

// batches groups prompts of equal length, longest first.
func batches(probes []prompt.Probe, size int) (groups [][]prompt.Probe) {
	ordered := slices.Clone(probes)
	slices.SortStableFunc(ordered, func(a, b prompt.Probe) int { return cmp.Compare(len(b.IDs), len(a.IDs)) })
	for _, p := range ordered {
		last := len(groups) - 1
		if last >= 0 && len(groups[last]) < size && len(groups[last][0].IDs) == len(p.IDs) {
			groups[last] = append(groups[last], p)
		} else {
			groups = append(groups, []prompt.Probe{p})
		}
	}
	return groups
}

// run continues a trace at from, and calls pause after every piece that ends with no open bucket.
func run(ctx context.Context, lr *lm.Runner, probes []prompt.Probe, c Config, out map[string]*buffer, from progress, pause func(progress) error) error {
	m := lr.Weights.Model
	if err := check(lr, c, probes); err != nil {
		return err
	}
	plan, err := newPlan(c, m)
	if err != nil {
		return err
	}
	runner := traced(lr, plan.every)
	groups := batches(probes, c.Batch)
	total, done := int64(0), int64(0)
	for i, g := range groups {
		total += int64(len(g) * len(g[0].IDs))
		if i < from.batch {
			done = total
		}
	}
	b := &batched{c, plan, groups, lm.NewTally(c.Progress, done, total)}
	first := from.batch
	if runner.Devices() == 1 || from.position > 0 { // sequential: a single device, or a batch interrupted in the middle
		for ; first < len(groups) && (runner.Devices() == 1 || first == from.batch); first++ {
			start := progress{batch: first}
			if first == from.batch {
				start = from
			}
			if err := b.run(ctx, runner, start, out, pause); err != nil {
				return err
			}
		}
	}
	return lm.Each(ctx, runner, len(groups)-first, func(ctx context.Context, r *lm.Runner, i int) (done finished, err error) {
		_, done.own = buffers(c)
		return done, b.run(ctx, r, progress{batch: first + i}, done.own, func(p progress) error { done.at = p; return nil })
	}, func(done finished) error {
		for name, own := range done.own {
			out[name].append(own)
		}
		return pause(done.at)
	})
}

// finished is a completed batch whose rows are waiting for those of earlier batches.
type finished struct {
	own map[string]*buffer
	at  progress
}

// batched holds the batches of one trace.
type batched struct {
	config Config
	plan   *plan
	groups [][]prompt.Probe
	tokens *lm.Tally
}

// run traces one batch, from its beginning or from where it was interrupted.
func (b *batched) run(ctx context.Context, runner *lm.Runner, start progress, out map[string]*buffer, pause func(progress) error) error {
	g, plan := b.groups[start.batch], b.plan
	rd := &reader{config: b.config, plan: plan, probes: g, buffers: out, sums: start.sums}
	if rd.sums == nil {
		rd.sums = make([]float64, plan.layers*len(g)*plan.heads)
	}
	rows := make([][]int32, len(g))
	for i, p := range g {
		rows[i] = p.IDs[start.position:]
	}
	req := lm.Request{Loss: true, Probes: plan.probes, Reduce: plan.reduction(), Controls: b.config.Controls}
	report := b.tokens.Part()
	err := alongside(ctx, func(ctx context.Context, emit func(lm.Piece) error) error {
		_, err := runner.Run(ctx, rows, start.state, req, emit)
		return err
	}, func(p lm.Piece) error {
		p.Start += start.position
		if err := rd.take(p); err != nil {
			return err
		}
		end := p.Start + p.Tokens
		report(int64(len(g) * end))
		switch {
		case rd.open.tokens > 0:
			return nil
		case end == len(g[0].IDs):
			return pause(progress{batch: start.batch + 1})
		}
		return pause(progress{batch: start.batch, position: end, state: p.State, sums: rd.sums})
	})
	if err != nil {
		return fmt.Errorf("trace of %q: %w", g[0].Name, err)
	}
	return nil
}

// alongside passes pieces to take in order while produce makes the next ones. It returns when all pieces have been taken, or with the
// first error from either side.
func alongside(ctx context.Context, produce func(context.Context, func(lm.Piece) error) error, take func(lm.Piece) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue, done := make(chan lm.Piece, ahead), make(chan error)
	go func() {
		var err error
		for p := range queue {
			if err == nil {
				if err = take(p); err != nil {
					cancel(err)
				}
			}
		}
		done <- err
	}()
	err := produce(ctx, func(p lm.Piece) error {
		select {
		case queue <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(queue)
	if failed := <-done; failed != nil {
		return failed
	}
	return err
}

// traced returns a runner configured for statistics: its pieces are multiples of every tokens, its chunks short. It shares the compiled
// graphs of r, so that a second trace compiles nothing.
func traced(r *lm.Runner, every int) *lm.Runner {
	if r.Options.Infer && r.Options.Chunk != 0 && r.Piece%every == 0 {
		return r
	}
	own := r.With(r.Weights)
	own.Options.Infer = true
	own.Piece = every * max(1, r.Piece/every)
	if own.Options.Chunk == 0 {
		own.Options.Chunk = chunk
	}
	return own
}
