package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"stuffed/pkg/intervene"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// underFlags change the model that answers.
type underFlags struct {
	plan        string
	methods     []string
	choosing    int
	trainLength int
}

func (u *underFlags) add(f *pflag.FlagSet) {
	f.StringVar(&u.plan, "plan", "", "JSON file with a list of interventions (see stuffed intervene) under which the model answers")
	f.StringSliceVar(&u.methods, "mitigate", nil, "mitigations by name, or all (see stuffed mitigate): the table has the means of each, by length and group")
	f.IntVar(&u.choosing, "choosing", 16, "--mitigate: sequences that parameters are chosen on, which are never reported")
	f.IntVar(&u.trainLength, "train-length", 0, "--mitigate: training length T in tokens (0: what the model's training.json says)")
}

func (u underFlags) used() bool { return u.plan != "" || len(u.methods) > 0 }

// options are for the manifest.
func (u underFlags) options() any { return []any{u.methods, u.choosing, u.trainLength} }

// table is one without rows.
func (u underFlags) table() *table.Table {
	if u.plan != "" {
		return task.Rows()
	}
	return intervene.CompareRows()
}

// changes are what the flags ask for: a plan or mitigations.
type changes struct {
	plan  intervene.Plan
	tasks intervene.CompareTasks
}

// run asks the questions of a test but for those that are done, and hands out rows.
func (u underFlags) run(ctx context.Context, m *models.Opened, test task.Test, c changes, former *table.Table, put func(*table.Table) error) error {
	bench, err := intervene.NewBench(m.Runner)
	if err != nil {
		return err
	}
	if u.plan != "" {
		test.Skip = task.SkipFirst(former.Rows() / max(m.Runner.Weights.Members, 1))
		if err := bench.AskEach(ctx, test, intervene.Method{Name: "plan", Plan: c.plan}, put); err != nil {
			return fmt.Errorf("%s: %w", u.plan, err)
		}
		return nil
	}
	done, err := former.Text("method")
	if err != nil {
		return err
	}
	progress := notebook.NewProgress("mitigations", 0, "methods")
	refused, err := c.tasks.Run(ctx, bench, done, put, func(done, total int) { progress.Of(int64(done), int64(total)) })
	if err != nil {
		return err
	}
	progress.Done()
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		fmt.Fprintf(os.Stderr, "not of this architecture: %s: %s\n", name, refused[name])
	}
	return nil
}

// compare is what --mitigate asks for, checked.
func (u underFlags) compare(m *models.Opened, test task.Test) (c intervene.CompareTasks, err error) {
	c = intervene.CompareTasks{Test: test, TrainLength: u.trainLength, Methods: u.methods, Choosing: u.choosing}
	if slices.Contains(u.methods, "all") {
		c.Methods = intervene.FamilyNames()
	}
	if c.TrainLength == 0 {
		if c.TrainLength, err = models.TrainLength(m.Dir, 0); err != nil {
			return c, err
		}
	}
	return c, c.Validate()
}

// read finds what is wrong with the flags before a table is begun: one that is begun stands in the way of other options.
func (u underFlags) read(m *models.Opened, test task.Test) (c changes, err error) {
	switch {
	case u.plan != "" && len(u.methods) > 0:
		err = errors.New("task run: give --plan or --mitigate, not both")
	case u.plan != "":
		c.plan, err = intervene.ReadPlan(u.plan)
	default:
		c.tasks, err = u.compare(m, test)
	}
	return c, err
}

// write is run into a table with a manifest beside it, and returns the means. An interrupted run is resumed, with --mitigate method by method.
func (u underFlags) write(ctx context.Context, m *models.Opened, test task.Test, output string) (shown *table.Table, err error) {
	changes, err := u.read(m, test)
	if err != nil {
		return nil, err
	}
	var asked []any
	for _, one := range test.Tasks {
		asked = append(asked, []any{one.Version, one.Length, one.Params})
	}
	note, err := m.Manifest([]any{"task under", asked, test.Count, test.Generate, u.options()}, []int64{test.Seed})
	if err != nil {
		return nil, err
	}
	if u.plan != "" {
		if err := note.Input(u.plan); err != nil {
			return nil, err
		}
	}
	if err := note.Start(output); err != nil {
		return nil, err
	}
	w, former, err := table.Resume(output, u.table())
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	if err := u.run(ctx, m, test, changes, former, w.Append); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := note.Finish(output); err != nil {
		return nil, err
	}
	if shown, err = table.Read(output); err == nil && u.plan != "" {
		shown, err = task.Summary(shown)
	}
	return shown, err
}
