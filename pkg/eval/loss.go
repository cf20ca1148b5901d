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

// Loss is loss by position over sequences of any lengths, read whole with the state carried from token to token.
type Loss struct {
	Bucket   int // tokens whose losses are averaged into one row; 0 means 1
	Batch    int // sequences of each member that run side by side; 0 means up to 8, fewer for large vocabularies
	Controls map[string]*tensors.Tensor
	Progress func(done, total int64) // tokens of one member, of those that are left to do
}

// Validate names the field that is out of range.
func (l Loss) Validate() error {
	if l.Bucket < 0 || l.Batch < 0 {
		return fmt.Errorf("loss: bucket is %d and batch %d, want 0 or more of each", l.Bucket, l.Batch)
	}
	return nil
}

// columns of a loss table; several members have a column replica in front.
func lossTable(members bool) *table.Table {
	t := table.New()
	if members {
		t.AddInt("replica", nil)
	}
	return t.AddText("prompt", nil).AddInt("position", nil).AddFloat("loss", nil).AddInt("tokens", nil)
}

// Table scores the sequences: prompt (its name), position (first token of the bucket), loss (nats, mean of the bucket),
// tokens (losses in the bucket; over a sequence of T tokens they add up to T − 1). Where the weights hold several
// members, each scores every sequence and the column replica tells them apart.
func (l Loss) Table(ctx context.Context, r *lm.Runner, probes []prompt.Probe) (*table.Table, error) {
	all := lossTable(r.Weights.Members > 1)
	err := l.run(ctx, r, probes, all.Append)
	return all, err
}

// Write is Table into a Parquet or CSV file, batch by batch; sequences that a former, interrupted run has scored are not
// scored again. The file appears when all are done.
func (l Loss) Write(ctx context.Context, r *lm.Runner, probes []prompt.Probe, path string) error {
	w, former, err := table.Resume(path, lossTable(r.Weights.Members > 1))
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

// run scores the longest sequences first, batch by batch; shorter ones of a batch are padded, which a causal model does
// not see.
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

// batchOf keeps the logits of a piece below 2²⁵ entries unless a batch was asked for.
func (l Loss) batchOf(r *lm.Runner) int {
	if l.Batch > 0 {
		return l.Batch
	}
	return min(8, max(1, 1<<25/(r.Piece*r.Weights.Model.Vocab()*max(r.Weights.Members, 1))))
}

// batch scores sequences of falling length.
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
	var member, position, tokens []int64
	var name []string
	var loss []float64
	for row, c := range sums {
		for b := range c.buckets {
			mean, n := c.of(b)
			member, name, position = append(member, int64(row/len(probes))), append(name, probes[row%len(probes)].Name), append(position, int64(b*width))
			loss, tokens = append(loss, mean), append(tokens, n)
		}
	}
	out := table.New()
	if members > 1 {
		out.AddInt("replica", member)
	}
	return out.AddText("prompt", name).AddInt("position", position).AddFloat("loss", loss).AddInt("tokens", tokens), nil
}

// LossColumns are those of a loss table: the prompt, the first position and the tokens of every row, and their mean loss in nats.
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

// MeanLoss averages a loss table over its prompts: (replica,) position, loss, loss_low, loss_high (95 % bootstrap over
// prompts), prompts, tokens. Only prompts that reach length tokens count, at positions below it, so that the same set is
// averaged everywhere; length 0 means that of the shortest prompt.
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
	mean, members, count, every, at := make([]float64, c.buckets), make([]int64, c.buckets), make([]int64, c.buckets), make([]int64, c.buckets), make([]int64, c.buckets)
	for b := range mean {
		mean[b], every[b] = c.of(b)
		members[b], count[b], at[b] = member, int64(c.filled(b)), int64(edges[b])
	}
	some := table.New()
	if member >= 0 {
		some.AddInt("replica", members)
	}
	return out.Append(some.AddInt("position", at).AddFloat("loss", mean).AddFloat("loss_low", low).AddFloat("loss_high", high).
		AddInt("prompts", count).AddInt("tokens", every))
}

// Sources says which document each run of tokens of the sequences comes from: prompt, start, end (tokens), id, domain,
// split, source, title, licence, whole (1 where the run goes to the document's end).
func Sources(probes []prompt.Probe) *table.Table {
	var name, id, domain, split, source, title, licence []string
	var start, end, whole []int64
	for _, p := range probes {
		for _, s := range p.Sources {
			name, id, domain, split = append(name, p.Name), append(id, s.ID), append(domain, s.Domain), append(split, s.Split)
			source, title, licence = append(source, s.Source), append(title, s.Title), append(licence, s.Licence)
			start, end = append(start, s.Start), append(end, s.End)
			if s.Whole {
				whole = append(whole, 1)
			} else {
				whole = append(whole, 0)
			}
		}
	}
	return table.New().AddText("prompt", name).AddInt("start", start).AddInt("end", end).AddText("id", id).AddText("domain", domain).
		AddText("split", split).AddText("source", source).AddText("title", title).AddText("licence", licence).AddInt("whole", whole)
}
