package eval

import (
	"context"
	"fmt"
	"strings"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/longtext"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
	tasks "stuffed/pkg/task"
)

// LongText configures how the items of a published benchmark are asked.
type LongText struct {
	Length   int `json:"length"`   // maximum number of tokens in a prompt
	Generate int `json:"generate"` // number of tokens to generate
}

// LongTextRow is the answer to one item.
type LongTextRow struct {
	Format string  `parquet:"format" doc:"format of the benchmark's file"`
	Task   string  `parquet:"task" doc:"task of the benchmark"`
	ID     string  `parquet:"id" doc:"name of the item"`
	Tokens int     `parquet:"tokens" doc:"tokens read"`
	Cut    int     `parquet:"cut" doc:"tokens left out in the middle"`
	Output string  `parquet:"output" doc:"what the model wrote"`
	Score  float64 `parquet:"score" doc:"score as the benchmark's program computes it"`
}

// Table asks the items one at a time and returns a table of LongTextRow.
func (q LongText) Table(ctx context.Context, r *lm.Runner, enc datasets.Encoder, items []longtext.Item) (*table.Table, error) {
	if q.Generate < 1 {
		return nil, fmt.Errorf("long texts: generate is %d tokens, want 1 or more", q.Generate)
	}
	var out []LongTextRow
	for _, i := range items {
		if _, err := longtext.Score(i, ""); err != nil {
			return nil, fmt.Errorf("long texts: %w", err)
		}
		prompt := i.Prompt()
		ids, err := longtext.Tokens(enc, prompt, q.Length)
		if err != nil {
			return nil, fmt.Errorf("long texts, %s: %w", i.ID, err)
		}
		whole, err := enc.Encode(prompt)
		if err != nil {
			return nil, err
		}
		written, err := r.Generate(ctx, [][]int32{ids}, q.Generate, lm.Sampling{}, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("long texts, %s: %w", i.ID, err)
		}
		said, err := tasks.Decode(enc, written[0])
		if err != nil {
			return nil, err
		}
		s, err := longtext.Score(i, said)
		if err != nil {
			return nil, err
		}
		out = append(out, LongTextRow{i.Format, i.Task, i.ID, len(ids), len(whole) - len(ids), strings.ToValidUTF8(said, "\uFFFD"), s})
	}
	return table.Of(out), nil
}

// LongTextFile is LongText.Table with a manifest next to the result.
func LongTextFile(ctx context.Context, m *models.Opened, items []longtext.Item, input string, q LongText, path string) (*table.Table, error) {
	enc, err := m.Encoder()
	if err != nil {
		return nil, err
	}
	note, err := m.Manifest([]any{"long texts", q, enc.Name()}, nil, input)
	if err != nil {
		return nil, err
	}
	if err := note.Start(path); err != nil {
		return nil, err
	}
	rows, err := q.Table(ctx, m.Runner, enc, items)
	if err != nil {
		return nil, err
	}
	if err := rows.Write(path); err != nil {
		return nil, err
	}
	return rows, note.Finish(path)
}
