package task

import (
	"fmt"
	"math"
	"strings"

	"stuffed/pkg/table"
)

// Row is one sequence as one member answered it.
type Row struct {
	Member          int     `parquet:"member" doc:"of the weights, from 0"`
	Task            string  `parquet:"task" doc:"name of the task"`
	Version         string  `parquet:"version" doc:"of its sequences"`
	Length          int     `parquet:"length" doc:"tokens"`
	Group           string  `parquet:"group" doc:"what results are reported by"`
	Index           int64   `parquet:"index" doc:"of the sequence"`
	Seed            int64   `parquet:"seed" doc:"of the sequences"`
	Answers         int     `parquet:"answers" doc:"number of answers"`
	Accuracy        float64 `parquet:"accuracy" doc:"share of the answers that were the likeliest token, given those before"`
	Exact           int     `parquet:"exact" doc:"1: all of them"`
	Loss            float64 `parquet:"loss" doc:"nats per answer"`
	WrittenAccuracy float64 `parquet:"written_accuracy" doc:"share of what the model wrote by itself; NaN if it did not"`
	WrittenExact    float64 `parquet:"written_exact" doc:"1: all of it"`
	Output          string  `parquet:"output" doc:"what it wrote"`
	Answer          string  `parquet:"answer" doc:"what it had to write, of tasks made of text"`
}

func newRow(member int, r Record, g grades, w writing, generated bool) Row {
	row := Row{Member: member, Task: r.Task, Version: r.Version, Length: len(r.IDs), Group: r.Group, Index: r.Index, Seed: r.Seed, Answers: len(r.Answers),
		Accuracy: g.right / g.n, Exact: b2i(g.right == g.n), Loss: g.loss / g.n, WrittenAccuracy: w.Accuracy, WrittenExact: math.NaN(),
		Output: w.output, Answer: strings.ToValidUTF8(r.Answer, "\uFFFD")}
	if generated {
		row.WrittenExact = float64(b2i(w.Exact))
	}
	return row
}

// Rows is a table of Run without rows.
func Rows() *table.Table { return table.Of[Row](nil) }

// Summaries is a table of Summary without rows.
func Summaries() *table.Table {
	t, err := Summary(Rows())
	if err != nil {
		panic(err)
	}
	return t
}

// Summary has one row per member, task, length and group of a table of Run: records, and over them the means of accuracy
// (with accuracy_low and accuracy_high, its 95 % normal interval), answers, exact, loss, written_accuracy and written_exact.
func Summary(t *table.Table) (*table.Table, error) {
	means := []string{"accuracy", "answers", "exact", "loss", "written_accuracy", "written_exact"}
	values := map[string][]float64{}
	for _, name := range means {
		v, err := t.Float(name)
		if err != nil {
			return nil, fmt.Errorf("summary: %w", err)
		}
		values[name] = v
	}
	cells, at, err := cellsOf(t)
	if err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	var member, length, records []int64
	var task, group []string
	var low, high []float64
	columns := map[string][]float64{}
	for _, c := range cells {
		n := float64(len(at[c]))
		member, length, records = append(member, c.member), append(length, c.length), append(records, int64(n))
		task, group = append(task, c.task), append(group, c.group)
		for _, name := range means {
			sum, square := 0.0, 0.0
			for _, i := range at[c] {
				sum += values[name][i]
				square += values[name][i] * values[name][i]
			}
			columns[name] = append(columns[name], sum/n)
			if name == "accuracy" {
				half := 1.96 * math.Sqrt(max(square/n-sum/n*sum/n, 0)/n)
				low, high = append(low, max(sum/n-half, 0)), append(high, min(sum/n+half, 1))
			}
		}
	}
	out := table.New().AddInt("member", member).AddText("task", task).AddInt("length", length).AddText("group", group).AddInt("records", records).
		AddFloat("accuracy", columns["accuracy"]).AddFloat("accuracy_low", low).AddFloat("accuracy_high", high)
	for _, name := range means[1:] {
		out.AddFloat(name, columns[name])
	}
	return out, nil
}

// cell is what Summary takes together.
type cell struct {
	member, length int64
	task, group    string
}

func cellsOf(t *table.Table) (order []cell, at map[cell][]int, err error) {
	var member, length []int64
	var task, group []string
	for _, f := range []struct {
		name string
		into *[]int64
	}{{"member", &member}, {"length", &length}} {
		if *f.into, err = t.Int(f.name); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range []struct {
		name string
		into *[]string
	}{{"task", &task}, {"group", &group}} {
		if *f.into, err = t.Text(f.name); err != nil {
			return nil, nil, err
		}
	}
	at = map[cell][]int{}
	for i := range t.Rows() {
		c := cell{member[i], length[i], task[i], group[i]}
		if at[c] == nil {
			order = append(order, c)
		}
		at[c] = append(at[c], i)
	}
	return order, at, nil
}
