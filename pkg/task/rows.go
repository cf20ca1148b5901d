package task

import (
	"fmt"
	"math"
	"strings"

	"stuffed/pkg/table"
)

// Row is one member's answer to one sequence.
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

// Rows returns an empty table of Run.
func Rows() *table.Table { return table.Of[Row](nil) }

// Summaries returns an empty table of Summary.
func Summaries() *table.Table { return table.Of[SummaryRow](nil) }

// SummaryRow holds means over the sequences of one member, task, length and group.
type SummaryRow struct {
	Member          int     `parquet:"member" doc:"of the weights, from 0"`
	Task            string  `parquet:"task" doc:"name of the task"`
	Length          int     `parquet:"length" doc:"tokens"`
	Group           string  `parquet:"group" doc:"what results are reported by"`
	Records         int     `parquet:"records" doc:"number of sequences"`
	Accuracy        float64 `parquet:"accuracy" doc:"share of the answers that were the likeliest token, given those before"`
	AccuracyLow     float64 `parquet:"accuracy_low" doc:"lower end of its 95 % normal interval over sequences"`
	AccuracyHigh    float64 `parquet:"accuracy_high" doc:"upper end"`
	Answers         float64 `parquet:"answers" doc:"answers of a sequence"`
	Exact           float64 `parquet:"exact" doc:"share of the sequences whose answers were all right"`
	Loss            float64 `parquet:"loss" doc:"nats per answer"`
	WrittenAccuracy float64 `parquet:"written_accuracy" doc:"share of what the model wrote by itself; NaN if it did not"`
	WrittenExact    float64 `parquet:"written_exact" doc:"share of the sequences where all of it is right"`
}

// answered is the part of a Row that Summary needs.
type answered struct {
	Member          int     `parquet:"member" doc:"see Row"`
	Task            string  `parquet:"task" doc:"see Row"`
	Length          int     `parquet:"length" doc:"see Row"`
	Group           string  `parquet:"group" doc:"see Row"`
	Answers         float64 `parquet:"answers" doc:"see Row"`
	Accuracy        float64 `parquet:"accuracy" doc:"see Row"`
	Exact           float64 `parquet:"exact" doc:"see Row"`
	Loss            float64 `parquet:"loss" doc:"see Row"`
	WrittenAccuracy float64 `parquet:"written_accuracy" doc:"see Row"`
	WrittenExact    float64 `parquet:"written_exact" doc:"see Row"`
}

// Summary aggregates a table of Row into a table of SummaryRow.
func Summary(t *table.Table) (*table.Table, error) {
	rows, err := table.Rows[answered](t)
	if err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	type cell struct {
		member, length int
		task, group    string
	}
	at, order := map[cell][]answered{}, []cell{}
	for _, r := range rows {
		c := cell{r.Member, r.Length, r.Task, r.Group}
		if at[c] == nil {
			order = append(order, c)
		}
		at[c] = append(at[c], r)
	}
	var out []SummaryRow
	for _, c := range order {
		out = append(out, meansOf(at[c]))
	}
	return table.Of(out), nil
}

// meansOf averages the rows of one member, task, length and group.
func meansOf(rows []answered) SummaryRow {
	s, n, square := SummaryRow{Member: rows[0].Member, Task: rows[0].Task, Length: rows[0].Length, Group: rows[0].Group, Records: len(rows)}, float64(len(rows)), 0.0
	for _, r := range rows {
		s.Accuracy += r.Accuracy
		square += r.Accuracy * r.Accuracy
		s.Answers += r.Answers
		s.Exact += r.Exact
		s.Loss += r.Loss
		s.WrittenAccuracy += r.WrittenAccuracy
		s.WrittenExact += r.WrittenExact
	}
	half := 1.96 * math.Sqrt(max(square/n-s.Accuracy/n*s.Accuracy/n, 0)/n)
	for _, sum := range []*float64{&s.Accuracy, &s.Answers, &s.Exact, &s.Loss, &s.WrittenAccuracy, &s.WrittenExact} {
		*sum /= n
	}
	s.AccuracyLow, s.AccuracyHigh = max(s.Accuracy-half, 0), min(s.Accuracy+half, 1)
	return s
}
