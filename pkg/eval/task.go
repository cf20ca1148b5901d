package eval

import (
	"context"
	"encoding/json"

	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// TaskFile is task.Test.Run with a manifest beside the result, and returns the table.
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
	rows, err := t.Run(ctx, m.Runner)
	if err != nil {
		return nil, err
	}
	if err := rows.Write(path); err != nil {
		return nil, err
	}
	return rows, note.Finish(path)
}
