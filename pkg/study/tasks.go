package study

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
	"stuffed/pkg/train"
)

// TaskTest is a task on which a row's members are tested, with sequences never used in training.
type TaskTest struct {
	train.TaskConfig
	Count int `json:"count"` // sequences
}

// validateTasks checks the task tests of a row.
func (c Config) validateTasks() error {
	if len(c.Evaluate.Tasks) == 0 {
		return fmt.Errorf("evaluate.tasks is empty; a row that trains on tasks must say what it is asked")
	}
	if !(c.Evaluate.Stop >= 0 && c.Evaluate.Stop <= 1) {
		return fmt.Errorf("evaluate.stop = %g is outside 0 … 1", c.Evaluate.Stop)
	}
	for i, t := range c.Evaluate.Tasks {
		if t.Count < 1 {
			return fmt.Errorf("evaluate.tasks[%d].count = %d, want 1 or more", i, t.Count)
		}
		if _, err := t.Open(c.Train.TrainLength, tokenizer.Bytes()); err != nil {
			return fmt.Errorf("evaluate.tasks[%d]: %w", i, err)
		}
	}
	return nil
}

// taskMeasure collects the answers of a row's members.
type taskMeasure struct {
	config Config
	test   []task.Test // for each task
	runner *lm.Runner

	taskTables
}

// taskTables holds the results so far.
type taskTables struct{ Groups, Scores *table.Table }

func newTaskMeasure(c Config, r *lm.Runner, enc datasets.Encoder) (*taskMeasure, error) {
	m := &taskMeasure{config: c, runner: r, taskTables: taskTables{table.New(), table.New()}}
	for _, t := range c.Evaluate.Tasks {
		one, err := t.Open(c.Train.TrainLength, enc)
		if err != nil {
			return nil, err
		}
		m.test = append(m.test, task.Test{Tasks: []*task.Task{one}, Count: t.Count, Seed: heldSeed})
	}
	return m, nil
}

// ask tests all members after the given number of training tokens per member, and returns the best member's mean accuracy over all
// sequences.
func (m *taskMeasure) ask(ctx context.Context, tokens int64) (best float64, err error) {
	members := len(m.config.Train.Members())
	sums, n, asked := make([][3]float64, members), 0.0, []*table.Table(nil)
	for _, test := range m.test {
		rows, err := test.Run(ctx, m.runner)
		if err != nil {
			return 0, err
		}
		member, err := rows.Int("member")
		if err != nil {
			return 0, err
		}
		for k, name := range []string{"accuracy", "exact", "loss"} {
			values, err := rows.Float(name)
			if err != nil {
				return 0, err
			}
			for i, v := range values {
				sums[member[i]][k] += v
			}
		}
		n += float64(test.Count)
		summary, err := task.Summary(rows)
		if err != nil {
			return 0, err
		}
		one, err := m.asked(summary, tokens)
		if err != nil {
			return 0, err
		}
		asked = append(asked, one)
	}
	for _, one := range asked { // all or none, in case the row is stopped
		if err := m.Groups.Append(one); err != nil {
			return 0, err
		}
	}
	var scores []ScoreRow
	for r, s := range sums {
		scores = append(scores, ScoreRow{memberOf(r, m.config.Train.Members()[r]), tokens, s[0] / n, s[1] / n, s[2] / n})
		best = max(best, s[0]/n)
	}
	return best, m.Scores.Append(table.Of(scores))
}

// asked renames a summary's columns to those of a study's rows, where groups are those of the plan.
func (m *taskMeasure) asked(summary *table.Table, tokens int64) (*table.Table, error) {
	replica, err := summary.Int("member")
	if err != nil {
		return nil, err
	}
	var rows []taskMember
	for _, r := range replica {
		rows = append(rows, taskMember{memberOf(int(r), m.config.Train.Members()[r]), tokens})
	}
	return table.Of(rows).Beside(summary.Without("member", "written_accuracy", "written_exact").Rename("group", "asked")), nil
}

// taskMember precedes the results of a member.
type taskMember struct {
	Member
	Tokens int64 `parquet:"tokens" doc:"tokens of training of each member"`
}

// errEnough stops training once the score is high enough.
var errEnough = errors.New("the score is high enough")

// runTasks trains a row on tasks. Its tables: training, as in Run; task: tokens (trained on so far), task, length, asked (group of
// sequences), records, accuracy, accuracy_low, accuracy_high, answers (per sequence), exact, loss (nats per answer); score: tokens, and
// accuracy, exact and loss over all sequences of evaluate.tasks.
func (t *Trainer) runTasks(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	c := row.Config
	trainer, err := train.Open(t.Device, c.Train)
	if err != nil {
		return nil, err
	}
	defer trainer.Data.Close()
	m, err := newTaskMeasure(c, lm.NewRunner(t.Device, trainer.Weights()), tokenizer.Bytes())
	if err != nil {
		return nil, err
	}
	state := &rowState{Curve: newCurve(c), Tasks: &m.taskTables}
	saving, err := row.kept.resume(trainer, state)
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context) error {
		m.runner.Weights = trainer.Weights()
		var best float64
		err := t.measured("answers", func() (err error) {
			best, err = m.ask(ctx, trainer.Steps()*int64(c.Train.BatchTokens))
			return err
		})
		if err == nil && c.Evaluate.Stop > 0 && best >= c.Evaluate.Stop {
			err = errEnough
		}
		return err
	}
	if err = run(ctx, c, trainer, state, saving, ask, report, c.Trained()); err == nil {
		err = ask(ctx)
	}
	if err != nil && !errors.Is(err, errEnough) {
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
	return Tables{"training": state.Curve.table(c), "task": m.Groups, "score": m.Scores}, nil
}
