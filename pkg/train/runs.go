package train

import (
	"fmt"
	"path/filepath"
	"strings"

	"stuffed/pkg/table"
)

// RunLoss is a point of the training curve of a run.
type RunLoss struct {
	Run    string  `parquet:"run" doc:"name of the folder, and what tells its models apart"`
	Tokens float64 `parquet:"tokens" doc:"tokens read"`
	Loss   float64 `parquet:"loss" doc:"training loss, nats"`
}

// ReadRuns reads the training curves of runs, finished or not, from their folders: a table of [RunLoss].
func ReadRuns(dirs ...string) (*table.Table, error) {
	var rows []RunLoss
	for _, dir := range dirs {
		t, err := ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
		if err != nil {
			return nil, err
		}
		names, err := members(t)
		if err != nil {
			return nil, err
		}
		read, err := t.Float("tokens")
		if err != nil {
			return nil, err
		}
		loss, err := t.Float("loss")
		if err != nil {
			return nil, err
		}
		for i, n := range names {
			rows = append(rows, RunLoss{strings.TrimSpace(filepath.Base(dir) + " " + n), read[i], loss[i]})
		}
	}
	return table.Of(rows), nil
}

// members are the names of the models of a run, row by row: the columns among policy, lr and seed that differ.
func members(t *table.Table) ([]string, error) {
	names := make([]string, t.Rows())
	for _, column := range []string{"policy", "lr", "seed"} {
		values, err := t.Text(column)
		if err != nil {
			return nil, err
		}
		differ := map[string]bool{}
		for _, v := range values {
			differ[v] = true
		}
		for i := range names {
			if len(differ) > 1 {
				names[i] = strings.TrimSpace(fmt.Sprint(names[i], " ", column, " ", values[i]))
			}
		}
	}
	return names, nil
}
