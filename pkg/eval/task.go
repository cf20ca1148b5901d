package eval

import (
	"context"
	"encoding/json"

	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// TaskFile runs task.Test with a manifest next to the result, and returns the table. Rows are written batch by batch; an interrupted run is
// resumed, a finished one is read.
func TaskFile(ctx context.Context, m *models.Opened, t task.Test, path string) (*table.Table, error) {
	type asked struct {
		Version string
		Length  int
		Params  json.RawMessage
	}
	var all []asked
	for _, one := range t.Tasks {
		all = append(all, asked{one.Version, one.Length, one.Params})
	}
	note, err := m.Manifest([]any{"task", all, t.Count, t.First, t.Generate}, []int64{t.Seed})
	if err != nil {
		return nil, err
	}
	if err := note.Start(path); err != nil {
		return nil, err
	}
	w, former, err := table.Resume(path, task.Rows())
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	t.Skip = task.SkipFirst(former.Rows() / max(m.Runner.Weights.Members, 1))
	if err := t.Each(ctx, m.Runner, w.Append); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := note.Finish(path); err != nil {
		return nil, err
	}
	return table.Read(path)
}
