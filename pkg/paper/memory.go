package paper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// Memory examines what trained models make of tokens older than their training length T, on the recall stream that they were
// trained on or on documents of the shipped corpus.
type Memory struct {
	Times     int // length of a sequence, in training lengths
	Sequences int
}

// MemoryTables holds what Memory finds. Each table has the columns model and train_length: Oracle (see eval.Memory.Gaps); Slopes
// (slope, slope_low, slope_high: change of the loss per doubling of the position beyond T); Remembrance (see eval.Memory.EffRem;
// times is the start and read the number of tokens from there on, both in training lengths); States (see eval.Coverage); and
// Coherence (see eval.Coherence).
type MemoryTables struct{ Oracle, Slopes, Remembrance, States, Coherence *table.Table }

// modelColumns precede the columns of what was found.
type modelColumns struct {
	Model       string `parquet:"model" doc:"model"`
	TrainLength int    `parquet:"train_length" doc:"tokens"`
}

// slopeRow is the change of the loss per doubling of the position beyond T.
type slopeRow struct {
	Slope float64 `parquet:"slope" doc:"nats"`
	Low   float64 `parquet:"slope_low" doc:"lower end of its interval"`
	High  float64 `parquet:"slope_high" doc:"upper end"`
}

// ByName maps each table to the name of its file.
func (m MemoryTables) ByName() map[string]*table.Table {
	return map[string]*table.Table{"oracle": m.Oracle, "slopes": m.Slopes, "remembrance": m.Remembrance, "states": m.States, "coherence": m.Coherence}
}

// ReadMemory reads the tables of a folder, empty where there are none, and names the models that all of them have. Rows of other
// models, left by a run that was stopped, are dropped.
func ReadMemory(folder string) (out MemoryTables, have map[string]bool, err error) {
	out = MemoryTables{table.New(), table.New(), table.New(), table.New(), table.New()}
	seen := map[string]int{}
	for name, t := range out.ByName() {
		found, err := table.Read(filepath.Join(folder, name+".csv"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, nil, err
		}
		models, err := found.Text("model")
		if err != nil {
			return out, nil, err
		}
		*t = *found
		names := slices.Sorted(slices.Values(models))
		for _, m := range slices.Compact(names) {
			seen[m]++
		}
	}
	have = map[string]bool{}
	for _, t := range out.ByName() {
		if t.Rows() == 0 {
			continue
		}
		models, err := t.Text("model")
		if err != nil {
			return out, nil, err
		}
		*t = *t.Filter(func(i int) bool { return seen[models[i]] == len(out.ByName()) })
	}
	for m, n := range seen {
		if n == len(out.ByName()) {
			have[m] = true
		}
	}
	return out, have, nil
}

// Add runs a model and appends its rows to the tables.
func (q Memory) Add(ctx context.Context, opened *models.Opened, dir string, out MemoryTables) error {
	if q.Times < 4 || q.Sequences < 4 {
		return fmt.Errorf("memory: times is %d and sequences %d, want 4 or more of each", q.Times, q.Sequences)
	}
	T, err := models.TrainLength(dir, 0)
	if err != nil {
		return err
	}
	rows, counts, err := q.read(opened, dir, T)
	if err != nil {
		return err
	}
	starts, times, left := q.starts(T)
	m := eval.Memory{T: T, Counts: counts, Starts: starts}
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
	slopes := table.Of([]slopeRow{{slope.Value, slope.Low, slope.High}})
	for _, t := range []struct{ to, rows *table.Table }{{out.Oracle, gaps}, {out.Slopes, slopes}, {out.Remembrance, remembered.AddFloat("times", times).AddFloat("read", left)},
		{out.States, states}, {out.Coherence, coherence}} {
		if err := t.to.Append(ofModel(filepath.Base(dir), T, t.rows)); err != nil {
			return err
		}
	}
	return nil
}

// starts doubles from an eighth of T to the middle of the sequence; from there on the remainder is halved until an eighth of T is
// left.
func (q Memory) starts(T int) (starts []int, times, left []float64) {
	length := q.Times * T
	for at := T / 8; at < length/2; at *= 2 {
		starts = append(starts, at)
	}
	for rest := length / 2; rest >= T/8; rest /= 2 {
		starts = append(starts, length-rest)
	}
	for _, at := range starts {
		times, left = append(times, float64(at)/float64(T)), append(left, float64(length-at)/float64(T))
	}
	return starts, times, left
}

// read returns sequences of the kind that the model was trained on and which predictions count; on the recall stream these are
// the repeated values.
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
	return table.Of(slices.Repeat([]modelColumns{{name, T}}, t.Rows())).Beside(t)
}
