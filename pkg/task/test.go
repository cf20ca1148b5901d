package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Test configures a test in which every member of the weights reads the same sequences.
type Test struct {
	Tasks    []*Task
	Count    int                  // sequences per task
	Seed     int64                // of the sequences
	First    int64                // index of the first sequence
	Batch    int                  // sequences per member in a batch; 0: automatic
	Places   []Place              // places of the main needles; if set, they select the sequences instead of Count and First
	Generate bool                 // also let the model generate answers that are one piece at the end
	Tokens   func(answer int) int // number of tokens to generate for an answer of the given length; nil: that length
	Controls map[string]*tensors.Tensor
	Read     Reader                            // replaces lm.Runner.Run, or nil
	Skip     func(one *Task, index int64) bool // reports sequences to skip, or nil; called once for each, in order
	Progress func(done, total int64)           // tokens of one member
}

// Reader reads sequences, none of which has a question before position first, and emits the outputs that the request asks for.
type Reader func(ctx context.Context, r *lm.Runner, ids [][]int32, first int, req lm.Request, emit func(lm.Piece) error) error

// Run returns a Row for each member, task and sequence. With Generate, the model's own answers are decoded greedily. Answers that are not
// one piece at the end are not generated, since the model never reads its own answer there; written_accuracy and written_exact then equal
// the scores for the given answer.
func (t Test) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	all := Rows()
	return all, t.Each(ctx, r, all.Append)
}

// SkipFirst returns a Skip for the first n sequences, for resuming a run.
func SkipFirst(n int) func(*Task, int64) bool {
	return func(*Task, int64) bool {
		n--
		return n >= 0
	}
}

// part is a batch: sequences of one task that are asked together.
type part struct {
	*Task
	sequences []int
	batch     int
}

// Each is Run that passes on the rows batch by batch, in order.
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

// parts returns the batches of all sequences not skipped, and the number of tokens of one member.
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

// index is the index of sequence k.
func (t Test) index(k int) int64 {
	if t.Places != nil {
		return t.Places[k].Index()
	}
	return t.First + int64(k)
}

// records returns the records of one batch. An incomplete batch is padded with copies of its last record, which are not counted: another
// batch size would require compiling another graph.
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
