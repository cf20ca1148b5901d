package paper

import (
	"context"
	"fmt"
	"path/filepath"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// Memory looks at what trained models make of tokens older than their training length T: the recall stream that they were
// trained on, or documents of the shipped corpus.
type Memory struct {
	Models    []string // folders
	Backend   string
	Times     int // length in training lengths
	Sequences int
}

// MemoryTables are what Memory finds, each with the columns model and train_length: Oracle (see eval.Memory.Gaps), Slopes (slope,
// slope_low, slope_high: change of the loss with each doubling of the position beyond T), Remembrance (see
// eval.Memory.EffRem; times is the start in training lengths), States (see eval.Coverage) and Coherence (see eval.Coherence).
type MemoryTables struct{ Oracle, Slopes, Remembrance, States, Coherence *table.Table }

// ByName are the tables with the names of their files.
func (m MemoryTables) ByName() map[string]*table.Table {
	return map[string]*table.Table{"oracle": m.Oracle, "slopes": m.Slopes, "remembrance": m.Remembrance, "states": m.States, "coherence": m.Coherence}
}

// Run makes the tables.
func (q Memory) Run(ctx context.Context) (MemoryTables, error) {
	out := MemoryTables{table.New(), table.New(), table.New(), table.New(), table.New()}
	if q.Times < 4 || q.Sequences < 4 {
		return out, fmt.Errorf("memory: times is %d and sequences %d, want 4 or more of each", q.Times, q.Sequences)
	}
	for _, dir := range q.Models {
		if err := q.one(ctx, dir, out); err != nil {
			return out, fmt.Errorf("%s: %w", dir, err)
		}
	}
	return out, nil
}

func (q Memory) one(ctx context.Context, dir string, out MemoryTables) error {
	opened, err := models.Open(dir, q.Backend, "")
	if err != nil {
		return err
	}
	T, err := models.TrainLength(dir, 0)
	if err != nil {
		return err
	}
	rows, counts, err := q.read(opened, dir, T)
	if err != nil {
		return err
	}
	m := eval.Memory{T: T, Counts: counts}
	var times []float64
	for at := T / 8; at < len(rows[0]); at *= 2 {
		m.Starts, times = append(m.Starts, at), append(times, float64(at)/float64(T))
	}
	gaps, slope, err := m.Gaps(ctx, opened.Runner, rows)
	if err != nil {
		return err
	}
	remembered, err := m.EffRem(ctx, opened.Runner, rows)
	if err != nil {
		return err
	}
	states, err := eval.Coverage{T: T}.Run(ctx, opened.Runner, rows)
	if err != nil {
		return err
	}
	coherence, err := eval.Coherence{T: T}.Run(ctx, opened.Runner, rows)
	if err != nil {
		return err
	}
	slopes := table.New().AddFloat("slope", []float64{slope.Value}).AddFloat("slope_low", []float64{slope.Low}).AddFloat("slope_high", []float64{slope.High})
	for _, t := range []struct{ to, rows *table.Table }{{out.Oracle, gaps}, {out.Slopes, slopes}, {out.Remembrance, remembered.AddFloat("times", times)},
		{out.States, states}, {out.Coherence, coherence}} {
		if err := t.to.Append(ofModel(filepath.Base(dir), T, t.rows)); err != nil {
			return err
		}
	}
	return nil
}

// read are sequences of the kind that the model was trained on, and which predictions count: of the recall stream those
// of repeated values.
func (q Memory) read(m *models.Opened, dir string, T int) (rows [][]int32, counts func(row, at int) bool, err error) {
	length := q.Times * T
	if stream, err := models.RecallStream(dir, 0); err == nil {
		var repeats [][]bool
		for i := range q.Sequences {
			ids, again, _ := stream.Sequence(prompt.HeldOut+int64(i), length)
			rows, repeats = append(rows, ids), append(repeats, again)
		}
		return rows, func(row, at int) bool { return repeats[row][at] }, nil
	}
	probes, err := eval.Probes(m, prompt.Texts{Kind: "documents", Split: "test", Length: length, Count: q.Sequences})
	for _, p := range probes {
		rows = append(rows, p.IDs)
	}
	return rows, nil, err
}

func ofModel(name string, T int, t *table.Table) *table.Table {
	n := t.Rows()
	out := table.New().AddText("model", repeated(name, n)).AddInt("train_length", repeated(int64(T), n))
	out.Columns = append(out.Columns, t.Columns...)
	return out
}

func repeated[V any](v V, n int) (out []V) {
	for range n {
		out = append(out, v)
	}
	return out
}
