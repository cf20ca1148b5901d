package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// repeatedLoss is the loss of a bucket.
type repeatedLoss struct {
	Prompt   int     `parquet:"prompt" doc:"number of the prompt"`
	Position int     `parquet:"position" doc:"first token of the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats, mean over the values of repeated pairs in the bucket"`
}

// repeated is the loss of the recall stream's values of repeated pairs alone, the only tokens that can be known: a table of
// [repeatedLoss]; buckets without such a value are left out. The loss over all tokens is that of keys drawn at random, in
// which a failure of recall drowns.
func repeated(ctx context.Context, q Question, path string) (*table.Table, error) {
	path = trace.Path(path, "repeats")
	if t, err := table.Read(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	m, err := q.opened()
	if err != nil {
		return nil, err
	}
	texts, bucket := q.Source.Texts, max(q.Trace.Bucket, 1)
	var rows [][]int32
	var again [][]bool
	for i := range max(texts.Count, 1) {
		tokens, repeat, _ := texts.Recall.Sequence(prompt.HeldOut+int64(i), texts.Length)
		rows, again = append(rows, tokens), append(again, repeat)
	}
	buckets := (texts.Length + bucket - 1) / bucket
	sums, counts := make([]float64, len(rows)*buckets), make([]float64, len(rows)*buckets)
	_, err = m.Runner.Run(ctx, rows, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
		for i := range rows {
			for t := range p.Tokens {
				if at := p.Start + t; at+1 < texts.Length && again[i][at+1] {
					sums[i*buckets+at/bucket] += float64(p.Loss[i*p.Tokens+t])
					counts[i*buckets+at/bucket]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loss at repeated pairs: %w", err)
	}
	var losses []repeatedLoss
	for k, n := range counts {
		if n > 0 && !math.IsNaN(sums[k]) {
			losses = append(losses, repeatedLoss{k / buckets, k % buckets * bucket, sums[k] / n})
		}
	}
	t := table.Of(losses)
	return t, t.Write(path)
}
