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
)

// LongText says how the items of a published benchmark are asked.
type LongText struct {
	Length   int `json:"length"`   // tokens of a prompt at most
	Generate int `json:"generate"` // tokens that the model writes
}

// Table asks item by item: format, task, id, tokens (read), cut (tokens left out in the middle), output, score.
func (q LongText) Table(ctx context.Context, r *lm.Runner, enc datasets.Encoder, items []longtext.Item) (*table.Table, error) {
	if q.Generate < 1 {
		return nil, fmt.Errorf("long texts: generate is %d tokens, want 1 or more", q.Generate)
	}
	var format, task, id, output []string
	var tokens, cut []int64
	var score []float64
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
		said, err := decode(enc, written[0])
		if err != nil {
			return nil, err
		}
		s, err := longtext.Score(i, said)
		if err != nil {
			return nil, err
		}
		format, task, id, output = append(format, i.Format), append(task, i.Task), append(id, i.ID), append(output, strings.ToValidUTF8(said, "\uFFFD"))
		tokens, cut, score = append(tokens, int64(len(ids))), append(cut, int64(len(whole)-len(ids))), append(score, s)
	}
	return table.New().AddText("format", format).AddText("task", task).AddText("id", id).AddInt("tokens", tokens).AddInt("cut", cut).
		AddText("output", output).AddFloat("score", score), nil
}

// LongTextFile is LongText.Table with a manifest beside the result.
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
