//go:build !race

package study

import (
	"context"
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/tokenizer"
	"stuffed/pkg/train"
	"stuffed/xla"
)

const taskPlan = `{"name": "asked", "about": "", "base": {
  "train": {"data": {"kind": "task", "name": "selective-copying", "params": {"data": 1, "letters": 4}}, "model": {"layers": 1, "width": 16, "head_dim": 16, "state": 8},
    "train_length": 8, "batch_tokens": 512, "steps": 400, "steps_per_call": 10, "warmup": 0, "schedule": "constant", "lr": [0.01, 1e-9]},
  "evaluate": {"times": 2, "sequences": 1, "traced": 1, "stop": 0.99, "shares": [0.025, 0.25, 0.5, 0.75],
    "tasks": [{"name": "selective-copying", "params": {"data": 1, "letters": 4}, "count": 50}, {"name": "selective-copying", "length": 12, "params": {"data": 1, "letters": 4}, "count": 30}]}},
  "groups": [{"name": "all"}]}`

// taskRows returns the only row of taskPlan.
func taskRows(t *testing.T) []Row {
	t.Helper()
	p, err := ParsePlan([]byte(taskPlan))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil || len(rows) != 1 || rows[0].Config.Train.Model.Sizes().Vocab != 6 {
		t.Fatal(rows, err)
	}
	return rows
}

// TestTaskRow trains until the score is high enough: one member learns, the other stays at chance.
func TestTaskRow(t *testing.T) {
	d, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	rows := taskRows(t)
	tables, err := (&Trainer{Device: d}).Run(context.Background(), rows[0], t.TempDir(), func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	accuracy := numbers(t, tables["score"], "accuracy")
	tokens, n := numbers(t, tables["score"], "tokens"), len(accuracy)
	if accuracy[n-2] < 0.99 || accuracy[n-1] > 0.5 || accuracy[0] > 0.9 {
		t.Errorf("accuracies %v", accuracy)
	}
	if last := tokens[n-1]; last >= 400*512 || n < 4 {
		t.Errorf("%d measurements, the last after %g tokens: training did not stop", n, last)
	}
	if asked := tables["task"]; asked.Rows() != 2*n { // two tasks of one group each
		t.Errorf("%d rows of groups, %d scores", asked.Rows(), n)
	}
	if want := (50*numbers(t, tables["task"], "accuracy")[0] + 30*numbers(t, tables["task"], "accuracy")[2]) / 80; want != accuracy[0] {
		t.Errorf("the first score is %g, its parts give %g", accuracy[0], want)
	}
}

// TestAskedWholeOrNotAtAll stops during the second of two tasks: no group is left without a score.
func TestAskedWholeOrNotAtAll(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	rows := taskRows(t)
	trainer, err := train.Open(d, rows[0].Config.Train)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newTaskMeasure(rows[0].Config, lm.NewRunner(d, trainer.Weights()), tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.test[1].Progress = func(done, _ int64) { cancel() }
	m.test[1].Batch = 10 // several batches, of which the first completes
	if _, err := m.ask(ctx, 0); err == nil || m.Groups.Rows() != 0 || m.Scores.Rows() != 0 {
		t.Errorf("%d groups and %d scores of a measurement that was stopped, %v", m.Groups.Rows(), m.Scores.Rows(), err)
	}
	m.test[1].Progress = nil
	if _, err := m.ask(t.Context(), 0); err != nil || m.Groups.Rows() != 4 || m.Scores.Rows() != 2 {
		t.Errorf("%d groups and %d scores of two tasks and models, %v", m.Groups.Rows(), m.Scores.Rows(), err)
	}
}

func numbers(t *testing.T, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTaskPlanRefuses(t *testing.T) {
	at := strings.Index(taskPlan, `"tasks": [`)
	for want, text := range map[string]string{
		"evaluate.tasks is empty":            taskPlan[:at] + `"tasks": []}}, "groups": [{"name": "all"}]}`,
		"evaluate.stop = 2":                  strings.Replace(taskPlan, `"stop": 0.99`, `"stop": 2`, 1),
		"evaluate.tasks[0].count = 0":        strings.Replace(taskPlan, `"count": 50`, `"count": 0`, 1),
		"evaluate.tasks[1]: task selective-": strings.Replace(taskPlan, `"length": 12`, `"length": 1`, 1),
	} {
		if _, err := ParsePlan([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
