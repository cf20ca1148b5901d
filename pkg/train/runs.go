package train

import (
	"fmt"
	"path/filepath"
	"strings"

	"stuffed/pkg/table"
)

// ReadRuns reads the training curves of runs, finished or not, from their folders: columns run (the folder's name and what tells its
// models apart), tokens and loss.
func ReadRuns(dirs ...string) (*table.Table, error) {
	var runs []string
	var tokens, losses []float64
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
		for _, n := range names {
			runs = append(runs, strings.TrimSpace(filepath.Base(dir)+" "+n))
		}
		tokens, losses = append(tokens, read...), append(losses, loss...)
	}
	return table.New().AddText("run", runs).AddFloat("tokens", tokens).AddFloat("loss", losses), nil
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
