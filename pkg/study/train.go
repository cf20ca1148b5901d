package study

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"stuffed/pkg/manifest"
	"stuffed/pkg/table"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// Trainer is the Runner that trains a row's members in one graph and measures them far beyond the training length. Its tables are those of
// TrainingRow, LossRow, AgeRow, OutcomeRow, HeadRow and StateRow, and those of prompts.
type Trainer struct {
	Device *xla.Device

	fault func(what string) error // replaces, in tests, a measurement that fails: losses, states or answers; nil if none does
}

// measured makes a measurement.
func (t *Trainer) measured(what string, measure func() error) error {
	if t.fault != nil {
		if err := t.fault(what); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return measure()
}

// About is the manifest of a row: its configuration as options, the program and the device.
func (t *Trainer) About(row Row) (any, error) {
	m, err := manifest.New(row.Config, row.Config.Train.Seeds...)
	if err != nil {
		return nil, err
	}
	m.Config = row.Hash
	return m.Device(t.Device), nil
}

const trainingPoints = 50

// Run trains and measures one row.
func (t *Trainer) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	defer runtime.GC() // device memory is freed together with the row's tensors
	c := row.Config
	if c.Train.Data.Kind == "task" {
		return t.runTasks(ctx, row, dir, report)
	}
	trainer, err := train.Open(t.Device, c.Train)
	if err != nil {
		return nil, err
	}
	defer trainer.Data.Close()
	m := newMeasure(t.Device, c, trainer)
	state := &rowState{Curve: newCurve(c)}
	saving, err := row.kept.resume(trainer, state)
	if err != nil {
		return nil, err
	}
	for _, one := range state.Moments {
		if err := m.record(one); err != nil {
			return nil, err
		}
	}
	err = run(ctx, c, trainer, state, saving, func(ctx context.Context) error {
		err := t.measured("losses", func() error { return m.losses(ctx, trainer) })
		state.Moments = m.moments
		return err
	}, report, c.Trained()+c.Evaluated())
	if err == nil {
		err = t.measured("states", func() error { return m.finish(ctx, trainer) })
	}
	if err != nil {
		return nil, stopped(err, saving)
	}
	for i, r := range c.Train.Members() {
		if !c.keeps(r) {
			continue
		}
		if err := train.Export(filepath.Join(dir, "models", memberName(r)), trainer.Model, trainer.Weights(), i, trainer.Config, trainer.Steps()); err != nil {
			return nil, err
		}
	}
	return m.tables(state.Curve.table(c))
}

// rowState is the state of a row in training besides its models.
type rowState struct {
	Step    int64
	Seconds float64 // total over all claims so far
	Curve   *curve
	Asked   int      // number of shares of training already measured
	Moments []moment // measurements so far
	Tasks   *taskTables
}

// run trains to the end, measures after every share of the training, and saves whatever would be expensive to recompute.
func run(ctx context.Context, c Config, trainer *train.Trainer, state *rowState, saving *saving, measure func(context.Context) error, report func(Progress), total int64) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	shares := func() error { // that are due and not yet measured
		for state.Asked < len(c.Evaluate.Shares) && trainer.Steps() < c.Train.Steps && float64(trainer.Steps()) >= c.Evaluate.Shares[state.Asked]*float64(c.Train.Steps) {
			if err := measure(inner); err != nil {
				return fmt.Errorf("after step %d: %w", trainer.Steps(), err)
			}
			state.Asked++
		}
		return nil
	}
	if err := shares(); err != nil { // a share during which the row was stopped
		return err
	}
	trainer.Notify = func(s train.Status) {
		state.Curve.add(s)
		report(Progress{Done: s.Tokens, Total: total, Unit: "tokens"})
		state.Step = s.Step
		err := shares()
		if err == nil {
			err = saving.due()
		}
		if err != nil {
			stop(err)
		}
	}
	err := trainer.Run(inner)
	if err != nil && ctx.Err() == nil && inner.Err() != nil {
		err = context.Cause(inner)
	}
	return err
}

// stopped handles the error that ends a row, for whatever reason: it saves the row's progress, so that nothing is computed twice. If a step
// failed, its weights are lost on the device and the last snapshot stays.
func stopped(err error, s *saving) error {
	if saveErr := s.save(); saveErr != nil {
		s.log("%v", saveErr)
	}
	return err
}

// curve is the training loss of every member, downsampled by averaging.
type curve struct {
	Every, Next int64
	Sums        []float64
	N           float64
	Tokens      []int64
	Losses      [][]float64
}

func newCurve(c Config) *curve {
	every := max(c.Train.Steps/trainingPoints, 1)
	return &curve{Every: every, Next: every, Sums: make([]float64, len(c.Train.Members()))}
}

func (k *curve) add(s train.Status) {
	for i, v := range s.Loss {
		k.Sums[i] += v
	}
	k.N++
	if s.Step < k.Next && s.Step < s.Steps {
		return
	}
	k.Next = s.Step + k.Every
	mean := make([]float64, len(k.Sums))
	for i := range mean {
		mean[i], k.Sums[i] = k.Sums[i]/k.N, 0
	}
	k.Tokens, k.Losses, k.N = append(k.Tokens, s.Tokens/int64(len(mean))), append(k.Losses, mean), 0
}

func (k *curve) table(c Config) *table.Table {
	var rows []TrainingRow
	for i, m := range c.Train.Members() {
		for p, tokens := range k.Tokens {
			rows = append(rows, TrainingRow{memberOf(i, m), tokens, k.Losses[p][i]})
		}
	}
	return table.Of(rows)
}
