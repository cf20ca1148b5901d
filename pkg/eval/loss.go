package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Loss measures loss by position over sequences of any length, each read in full with the state carried from token to token.
type Loss struct {
	Bucket   int // tokens averaged into one row; 0 means 1
	Batch    int // sequences per member in a batch; 0 means up to 8, fewer for large vocabularies
	Controls map[string]*tensors.Tensor
	Progress func(done, total int64) // remaining tokens of one member
}

// Validate returns an error that names the field that is out of range.
func (l Loss) Validate() error {
	if l.Bucket < 0 || l.Batch < 0 {
		return fmt.Errorf("loss: bucket is %d and batch %d, want 0 or more of each", l.Bucket, l.Batch)
	}
	return nil
}

// LossRow is the loss of one prompt in one bucket of positions.
type LossRow struct {
	Member   int     `parquet:"replica" doc:"number of the member, from 0; only where the weights hold several"`
	Prompt   string  `parquet:"prompt" doc:"name of the prompt"`
	Position int     `parquet:"position" doc:"first token of the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats, mean over the bucket; at position t that of token t+1"`
	Tokens   int64   `parquet:"tokens" doc:"losses in the bucket; of T tokens there are T − 1"`
}

// lossTable builds a table of LossRow; the column replica is present only for several members.
func lossTable(rows []LossRow, members bool) *table.Table {
	t := table.Of(rows)
	if !members {
		t = t.Without("replica")
	}
	return t
}

// Table scores the sequences and returns a table of LossRow. If the weights hold several members, each of them scores every sequence.
func (l Loss) Table(ctx context.Context, r *lm.Runner, probes []prompt.Probe) (*table.Table, error) {
	all := lossTable(nil, r.Weights.Members > 1)
	err := l.run(ctx, r, probes, all.Append)
	return all, err
}

// Write writes the same table to a Parquet or CSV file, batch by batch; sequences scored by an earlier, interrupted run are not scored
// again.
// The file appears when all are done.
func (l Loss) Write(ctx context.Context, r *lm.Runner, probes []prompt.Probe, path string) error {
	w, former, err := table.Resume(path, lossTable(nil, r.Weights.Members > 1))
	if err != nil {
		return err
	}
	defer w.Abort()
	names, err := former.Text("prompt")
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, n := range names {
		done[n] = true
	}
	left := slices.DeleteFunc(slices.Clone(probes), func(p prompt.Probe) bool { return done[p.Name] })
	if err := l.run(ctx, r, left, w.Append); err != nil {
		return err
	}
	return w.Close()
}

// run scores batch by batch, longest sequences first. Shorter sequences in a batch are padded at the end, which a causal model cannot see.
func (l Loss) run(ctx context.Context, r *lm.Runner, probes []prompt.Probe, put func(*table.Table) error) error {
	if err := l.Validate(); err != nil {
		return err
	}
	total := int64(0)
	names := map[string]bool{}
	for _, p := range probes {
		if len(p.IDs) < 2 {
			return fmt.Errorf("loss: prompt %q has %d tokens, want 2 or more", p.Name, len(p.IDs))
		}
		if names[p.Name] {
			return fmt.Errorf("loss: two prompts are called %q", p.Name)
		}
		names[p.Name] = true
		total += int64(len(p.IDs))
	}
	ordered := slices.Clone(probes)
	slices.SortStableFunc(ordered, func(a, b prompt.Probe) int { return cmp.Compare(len(b.IDs), len(a.IDs)) })
	progress := lm.NewTally(l.Progress, 0, total)
	batches := slices.Collect(slices.Chunk(ordered, l.batchOf(r)))
	return lm.Each(ctx, r, len(batches), func(ctx context.Context, r *lm.Runner, i int) (*table.Table, error) {
		tokens, report := int64(0), progress.Part()
		for _, p := range batches[i] {
			tokens += int64(len(p.IDs))
		}
		return l.batch(ctx, r, batches[i], func(done, longest int) { report(tokens * int64(done) / int64(longest)) })
	}, put)
}

// batchOf limits the logits of a piece to 2²⁵ entries unless a batch size was requested.
func (l Loss) batchOf(r *lm.Runner) int {
	if l.Batch > 0 {
		return l.Batch
	}
	return min(8, max(1, 1<<25/(r.Piece*r.Weights.Model.Vocab()*max(r.Weights.Members, 1))))
}

// batch scores sequences sorted by decreasing length.
func (l Loss) batch(ctx context.Context, r *lm.Runner, probes []prompt.Probe, progress func(done, longest int)) (*table.Table, error) {
	members, longest, width := max(r.Weights.Members, 1), len(probes[0].IDs), max(l.Bucket, 1)
	rows := make([][]int32, 0, members*len(probes))
	for range members {
		for _, p := range probes {
			rows = append(rows, append(slices.Clip(p.IDs), make([]int32, longest-len(p.IDs))...))
		}
	}
	sums := make([]*cells, len(rows))
	for i := range sums {
		sums[i] = newCells(1, (len(probes[i%len(probes)].IDs)-2)/width+1)
	}
	req := lm.Request{Loss: true, Controls: l.Controls, Progress: progress}
	_, err := r.Run(ctx, rows, nil, req, func(p lm.Piece) error {
		for row := range rows {
			last := len(probes[row%len(probes)].IDs) - 1
			for t := range p.Tokens {
				if at := p.Start + t; at < last {
					sums[row].add(0, at/width, float64(p.Loss[row*p.Tokens+t]))
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loss of %d sequences from %q on: %w", len(probes), probes[0].Name, err)
	}
	var out []LossRow
	for row, c := range sums {
		for b := range c.buckets {
			mean, n := c.of(b)
			out = append(out, LossRow{row / len(probes), probes[row%len(probes)].Name, b * width, mean, n})
		}
	}
	return lossTable(out, members > 1), nil
}

// LossColumns returns the columns of a loss table: each row's prompt, first position, mean loss in nats and number of tokens.
func LossColumns(t *table.Table) (prompts []string, position []int64, loss []float64, tokens []int64, err error) {
	prompts, err = t.Text("prompt")
	if err == nil {
		position, err = t.Int("position")
	}
	if err == nil {
		loss, err = t.Float("loss")
	}
	if err == nil {
		tokens, err = t.Int("tokens")
	}
	return prompts, position, loss, tokens, err
}

// MeanLossRow is the mean over prompts in one bucket of positions.
type MeanLossRow struct {
	Member   int64   `parquet:"replica" doc:"number of the member, from 0; only where the weights hold several"`
	Position int     `parquet:"position" doc:"first token of the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats, mean over prompts"`
	Low      float64 `parquet:"loss_low" doc:"lower end of its 95 % bootstrap interval over prompts"`
	High     float64 `parquet:"loss_high" doc:"upper end"`
	Prompts  int     `parquet:"prompts" doc:"number of prompts"`
	Tokens   int64   `parquet:"tokens" doc:"losses in the bucket, of all prompts"`
}

// MeanLoss averages a loss table over its prompts: a table of MeanLossRow. Only prompts of at least length tokens count, at positions below
// length, so that every position averages over the same prompts; length 0 means that of the shortest prompt.
func MeanLoss(t *table.Table, length int) (*table.Table, error) {
	if err := t.Require("prompt", "position", "loss", "tokens"); err != nil {
		return nil, fmt.Errorf("loss table: %w", err)
	}
	out := table.New()
	if !t.Has("replica") {
		return out, meanLoss(out, t, length, -1)
	}
	members, err := t.Int("replica")
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Compact(slices.Sorted(slices.Values(members))) {
		if err := meanLoss(out, t.Filter(func(row int) bool { return members[row] == k }), length, k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func meanLoss(out, t *table.Table, length int, member int64) error {
	names, position, loss, tokens, err := LossColumns(t)
	if err != nil {
		return err
	}
	end := map[string]int{} // position after the last loss
	for i, n := range names {
		end[n] = max(end[n], int(position[i]+tokens[i]))
	}
	if length == 0 {
		length = math.MaxInt
		for _, e := range end {
			length = min(length, e+1)
		}
	}
	units, edges := map[string]int{}, []int{}
	for i, n := range names {
		if end[n]+1 < length || int(position[i]) >= length-1 {
			continue
		}
		if _, known := units[n]; !known {
			units[n] = len(units)
		}
		edges = append(edges, int(position[i]))
	}
	if len(units) == 0 {
		return fmt.Errorf("loss table: no prompt has %d tokens", length)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	c := newCells(len(units), len(edges))
	for i, n := range names {
		u, known := units[n]
		b, found := slices.BinarySearch(edges, int(position[i]))
		if known && found && tokens[i] > 0 {
			c.sums[u*c.buckets+b] += loss[i] * float64(tokens[i])
			c.counts[u*c.buckets+b] += float64(tokens[i])
		}
	}
	low, high := c.intervals()
	var rows []MeanLossRow
	for b, edge := range edges {
		mean, tokens := c.of(b)
		rows = append(rows, MeanLossRow{member, edge, mean, low[b], high[b], c.filled(b), tokens})
	}
	some := table.Of(rows)
	if member < 0 {
		some = some.Without("replica")
	}
	return out.Append(some)
}

// SourceRow names the document that a run of tokens in a sequence comes from.
type SourceRow struct {
	Prompt  string `parquet:"prompt" doc:"name of the prompt"`
	Start   int64  `parquet:"start" doc:"first token of the run"`
	End     int64  `parquet:"end" doc:"token after the run"`
	ID      string `parquet:"id" doc:"name of the document"`
	Domain  string `parquet:"domain" doc:"domain of the corpus"`
	Split   string `parquet:"split" doc:"train, valid or test"`
	Source  string `parquet:"source" doc:"where the document was published"`
	Title   string `parquet:"title" doc:"its title"`
	Licence string `parquet:"licence" doc:"its licence"`
	Whole   int    `parquet:"whole" doc:"1 where the run goes to the document's end, otherwise 0"`
}

// Sources returns one SourceRow for each run of tokens of the sequences.
func Sources(probes []prompt.Probe) *table.Table {
	var rows []SourceRow
	for _, p := range probes {
		for _, s := range p.Sources {
			one := SourceRow{p.Name, s.Start, s.End, s.ID, s.Domain, s.Split, s.Source, s.Title, s.Licence, 0}
			if s.Whole {
				one.Whole = 1
			}
			rows = append(rows, one)
		}
	}
	return table.Of(rows)
}
