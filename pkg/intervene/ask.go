package intervene

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// Ask puts a test to the model under a method: the rows of task.Test.Run. Decimation drops tokens that come before the first question of
// a batch.
func (b *Bench) Ask(ctx context.Context, test task.Test, m Method) (*table.Table, error) {
	all := task.Rows()
	return all, b.AskEach(ctx, test, m, all.Append)
}

// AskEach is Ask that hands the rows out batch by batch, in order.
func (b *Bench) AskEach(ctx context.Context, test task.Test, m Method, put func(*table.Table) error) error {
	a, err := b.apply(m)
	if err != nil {
		return err
	}
	for _, one := range test.Tasks {
		own := test
		own.Tasks, own.Read = []*task.Task{one}, a.reader()
		if own.Read != nil && own.Generate {
			return fmt.Errorf("%s: it changes how contexts are read, so the model cannot write its answers by itself", m.Name)
		}
		if own.Controls, err = a.of(one.Length).Tensors(a.runner.Weights.Values[0].DType()); err != nil {
			return err
		}
		if err := own.Each(ctx, a.runner, put); err != nil {
			return err
		}
	}
	return nil
}

// reader is how sequences are read, nil for lm.Runner.Run.
func (a *applied) reader() task.Reader {
	switch {
	case a.limit != nil:
		return func(ctx context.Context, r *lm.Runner, ids [][]int32, _ int, req lm.Request, emit func(lm.Piece) error) error {
			_, err := r.Run(ctx, ids, nil, a.limit.request(a.model, req, len(ids[0])), emit)
			return err
		}
	case a.decimate != nil:
		return a.readDecimated
	}
	return nil
}

func (a *applied) readDecimated(ctx context.Context, _ *lm.Runner, ids [][]int32, first int, req lm.Request, emit func(lm.Piece) error) error {
	if first == 0 {
		return errors.New("decimation drops tokens before the first question, and there are none: choose a task that is read before it is asked")
	}
	part := func(rows [][]int32, from, to int) (out [][]int32) {
		for _, row := range rows {
			out = append(out, row[from:to])
		}
		return out
	}
	state, err := a.prefill(ctx, part(ids, 0, first))
	if err != nil {
		return err
	}
	length := len(ids[0])
	req.Labels, req.Offset, req.Controls = part(req.Labels, first, length), first, nil
	_, err = a.plain.Run(ctx, part(ids, first, length), state, req, func(p lm.Piece) error {
		p.Start += first
		return emit(p)
	})
	return err
}

// CompareTasks asks a model the questions of tasks under every mitigation. Parameters are chosen by the mean loss of an answer on
// sequences of the selection range, factors of layers and limits are fitted on those of the calibration range, and the rows
// are those of Test, whose Count, Seed and First say which sequences are reported.
type CompareTasks struct {
	Test        task.Test
	TrainLength int      // T, in tokens
	Methods     []string // names of families; none is always among them
	Choosing    int      // sequences of each task that parameters are chosen on
}

// Ranges of sequences that no test reports.
const (
	selectFrom    = 1 << 39
	calibrateFrom = 1 << 40
)

// Validate checks what can be told before anything runs.
func (c CompareTasks) Validate() error {
	for _, name := range c.Methods {
		if _, err := FindFamily(name); err != nil {
			return err
		}
	}
	if c.Choosing < 1 {
		return fmt.Errorf("choosing is %d sequences, want 1 or more", c.Choosing)
	}
	if c.TrainLength < 4 || len(c.Test.Tasks) == 0 {
		return fmt.Errorf("mitigations on tasks: training length %d tokens and %d tasks, want 4 or more tokens and a task", c.TrainLength, len(c.Test.Tasks))
	}
	return nil
}

// Run hands out task.Summary of every method with the columns method and parameters in front, method by method, but for those that are
// done, and returns the families that the architecture refuses, with the reason. Progress counts methods tried.
func (c CompareTasks) Run(ctx context.Context, b *Bench, done []string, put func(*table.Table) error, progress func(done, total int)) (refused map[string]string, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	suite, err := c.suite(b.Model.Vocab())
	if err != nil {
		return nil, err
	}
	names := []string{"none"}
	for _, n := range c.Methods {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	refused = map[string]string{}
	for i, name := range names {
		if progress != nil {
			progress(i, len(names))
		}
		if slices.Contains(done, name) {
			continue
		}
		f, err := FindFamily(name)
		if err != nil {
			return nil, err
		}
		m, err := c.choose(ctx, b, f, suite)
		if err != nil && ctx.Err() == nil && name != "none" { // an architecture may lack what the method changes
			refused[name] = err.Error()
			continue
		}
		if err != nil {
			return nil, err
		}
		rows, err := b.Ask(ctx, c.Test, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		sum, err := task.Summary(rows)
		if err != nil {
			return nil, err
		}
		if err := put(underMethod(name, m.describe(), sum)); err != nil {
			return nil, err
		}
	}
	if progress != nil {
		progress(len(names), len(names))
	}
	return refused, nil
}

// CompareRows is a table of CompareTasks without rows.
func CompareRows() *table.Table { return underMethod("", "", task.Summaries()) }

func underMethod(name, parameters string, sum *table.Table) *table.Table {
	type columns struct {
		Method     string `parquet:"method" doc:"mitigation"`
		Parameters string `parquet:"parameters" doc:"those that were chosen"`
	}
	return table.Of(slices.Repeat([]columns{{name, parameters}}, sum.Rows())).Beside(sum)
}

// choose tries the parameters of a family on the selection range.
func (c CompareTasks) choose(ctx context.Context, b *Bench, f Family, s Suite) (best Method, err error) {
	grid, least := f.Grid(c.TrainLength), math.Inf(1)
	test := c.Test
	test.Count, test.First, test.Generate, test.Progress = c.Choosing, selectFrom, false, nil
	for i, p := range grid {
		m, err := f.Method(ctx, b, s, p)
		if err != nil {
			return best, err
		}
		if i == 0 {
			best = m
		}
		if len(grid) == 1 {
			break
		}
		rows, err := b.Ask(ctx, test, m)
		if err != nil {
			return best, err
		}
		losses, err := rows.Float("loss")
		if err != nil {
			return best, err
		}
		mean := 0.0
		for _, l := range losses {
			mean += l / float64(len(losses))
		}
		if mean < least {
			best, least = m, mean
		}
	}
	return best, nil
}

// suite holds sequences of the tasks end to end, for methods that calibrate on them.
func (c CompareTasks) suite(vocab int) (s Suite, err error) {
	s = Suite{TrainLength: c.TrainLength, Multiples: []int{1}, Sequences: 16, Split: "calibration", Text: &Text{Name: "tasks"}}
	for _, one := range c.Test.Tasks {
		s.Multiples = append(s.Multiples, (one.Length+c.TrainLength-1)/c.TrainLength)
	}
	slices.Sort(s.Multiples)
	s.Multiples = slices.Compact(s.Multiples)
	want := 4 * (s.Sequences*c.TrainLength + s.length() + 2) // its first quarter calibrates
	for i := int64(0); len(s.Text.IDs) < want; i++ {
		r, err := c.Test.Tasks[int(i)%len(c.Test.Tasks)].Record(c.Test.Seed, calibrateFrom+i)
		if err != nil {
			return s, err
		}
		s.Text.IDs = append(s.Text.IDs, r.IDs...)
	}
	return s, s.Validate(vocab)
}
