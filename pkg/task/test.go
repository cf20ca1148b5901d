package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Test asks models: every member of the weights reads the same sequences.
type Test struct {
	Tasks    []*Task
	Count    int                  // sequences of each task
	Seed     int64                // of the sequences
	First    int64                // index of the first
	Batch    int                  // sequences of each member that run side by side; 0 to choose
	Places   []Place              // where every task has its needles: the sequences are those at these places, Count and First say nothing
	Generate bool                 // also let the model write the answers that are one piece at the end
	Tokens   func(answer int) int // that it writes, for answers of so many; nil: as many
	Controls map[string]*tensors.Tensor
	Read     Reader                            // in the place of lm.Runner.Run, or nil
	Skip     func(one *Task, index int64) bool // sequences that are not asked, or nil; called once for each, in order
	Progress func(done, total int64)           // tokens of one member
}

// Reader reads sequences, of which none asks before position first, and emits what the request is for.
type Reader func(ctx context.Context, r *lm.Runner, ids [][]int32, first int, req lm.Request, emit func(lm.Piece) error) error

// Run returns a Row for each member, task and sequence. What the model writes by itself, with Generate, is written greedily; what is not
// one piece at the end is not written: the model never reads its own answer there, so that written_accuracy and written_exact are those
// given.
func (t Test) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	all := Rows()
	return all, t.Each(ctx, r, all.Append)
}

// SkipFirst is a Skip of the first n sequences, for a run that goes on.
func SkipFirst(n int) func(*Task, int64) bool {
	return func(*Task, int64) bool {
		n--
		return n >= 0
	}
}

// part is a batch: sequences of one task that are asked side by side.
type part struct {
	*Task
	sequences []int
	batch     int
}

// Each is Run that hands the rows out batch by batch, in order.
func (t Test) Each(ctx context.Context, r *lm.Runner, put func(*table.Table) error) error {
	if t.Places != nil {
		t.Count = len(t.Places)
	}
	if len(t.Tasks) == 0 || t.Count < 1 || t.Batch < 0 || t.First < 0 {
		return fmt.Errorf("test: %d tasks, count %d, batch %d, first %d; want 1 or more tasks and sequences, batch and first 0 or more", len(t.Tasks), t.Count, t.Batch, t.First)
	}
	for _, one := range t.Tasks {
		vocab := one.Vocab()
		if one.enc != nil && one.Text {
			vocab = one.enc.Vocab()
		}
		if v := r.Weights.Model.Vocab(); vocab > v {
			return fmt.Errorf("test: task %s has %d ids, the model's vocabulary only %d", one.Name, vocab, v)
		}
	}
	parts, total := t.parts(r)
	progress := lm.NewTally(t.Progress, 0, total)
	return lm.Each(ctx, r, len(parts), func(ctx context.Context, r *lm.Runner, i int) (*table.Table, error) {
		p, report := parts[i], progress.Part()
		asked, err := t.records(p)
		if err != nil {
			return nil, err
		}
		counted := len(p.sequences)
		rows, err := t.ask(ctx, r, p.Task, asked, counted, func(tokens int) { report(int64(tokens) * int64(counted)) })
		if err != nil {
			return nil, fmt.Errorf("test of %s, length %d: %w", p.Name, p.Length, err)
		}
		report(int64(p.Length) * int64(counted))
		return table.Of(rows), nil
	}, put)
}

// parts are the batches of what is not skipped, and the tokens of one member.
func (t Test) parts(r *lm.Runner) (parts []part, total int64) {
	for _, one := range t.Tasks {
		var open []int
		for k := range t.Count {
			if t.Skip == nil || !t.Skip(one, t.index(k)) {
				open = append(open, k)
			}
		}
		batch := t.Batch
		if batch == 0 {
			batch = max(1, 16384/min(one.Length, max(r.Piece, 1)))
		}
		batch = min(batch, t.Count)
		for some := range slices.Chunk(open, batch) {
			parts = append(parts, part{one, some, batch})
		}
		total += int64(one.Length) * int64(len(open))
	}
	return parts, total
}

// index is that of sequence k.
func (t Test) index(k int) int64 {
	if t.Places != nil {
		return t.Places[k].Index()
	}
	return t.First + int64(k)
}

// records are those of one batch. Beyond the last it is repeated and not counted: another batch size would be another
// graph to compile.
func (t Test) records(p part) ([]Record, error) {
	asked := make([]Record, p.batch)
	for i := range asked {
		if i >= len(p.sequences) {
			asked[i] = asked[i-1]
			continue
		}
		var err error
		if k := p.sequences[i]; t.Places != nil {
			asked[i], err = p.At(t.Seed, t.Places[k])
		} else {
			asked[i], err = p.Record(t.Seed, t.index(k))
		}
		if err != nil {
			return nil, err
		}
	}
	return asked, nil
}
