package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"stuffed/pkg/eval"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, lossCommand) }

func lossCommand() *cobra.Command {
	var m modelFlags
	var t textsFlags
	var l eval.Loss
	var output, mean string
	c := &cobra.Command{
		Use:   "loss --model DIR --output L.parquet",
		Short: "Loss by position over long documents, streams and constant prompts",
		Long: `Reads sequences of any length with the state carried from token to token and writes the loss by position. Documents may differ in
length; several run side by side (--batch).

  documents  documents of at least --length tokens, cut to it (0: whole ones of any length)
  shuffled   the same with their tokens in random order
  stream     --count streams per domain of --length tokens, of whole documents on end; tests stability, not use of context
  newlines   the token that the tokenizer makes of a run of newlines, --length times
  constant   the token --constant, --length times
  random     uniformly random ids of the tokenizer
  repeated   --text over and over
  recall     held-out sequences of the recall stream (key, value, key, value …) for models trained on it

Written beside the table: .sources (which document each run of tokens comes from) and .manifest.json. An interrupted run continues where
it stopped when it is started again with the same flags.

Columns:
` + table.Help[eval.LossRow]() + `

Columns of --mean:
` + table.Help[eval.MeanLossRow]() + `

Columns of .sources:
` + table.Help[eval.SourceRow](),
		Example: `  stuffed loss --model out/my-model --input notes.txt --length 0 --bucket 16 --output out/loss.csv
  stuffed loss --model out/my-model --kind stream --length 1M --domain tech --bucket 1024 --output out/stream.parquet
  stuffed loss --model out/my-model --kind newlines --length 64K --bucket 64 --output out/newlines.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runLoss(c.Context(), m, t, l, output, mean) },
	}
	f := c.Flags()
	m.add(f)
	m.addDevices(f)
	t.add(f, "documents", "16K")
	f.IntVar(&l.Bucket, "bucket", 1, "tokens averaged into one row")
	f.IntVar(&l.Batch, "batch", 0, "sequences that run side by side (0: up to 8, fewer for large vocabularies)")
	f.StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	f.StringVar(&mean, "mean", "", "also write the mean over the sequences with 95 % bootstrap intervals (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func runLoss(ctx context.Context, m modelFlags, t textsFlags, l eval.Loss, output, mean string) error {
	texts, err := t.read()
	if err != nil {
		return err
	}
	model, err := m.openFor(texts.Length * max(texts.Count, 1))
	if err != nil {
		return err
	}
	progress := notebook.NewProgress("loss", 0, "tokens")
	l.Progress = progress.Of
	all, err := eval.LossFile(ctx, model, texts, l, output)
	if err != nil {
		return err
	}
	progress.Done()
	if err := warnOfLosses(os.Stderr, all); err != nil {
		return err
	}
	if mean == "" {
		return nil
	}
	average, err := eval.MeanLoss(all, 0)
	if err != nil {
		return err
	}
	return average.Write(mean)
}

// warnOfLosses tells of losses that are not finite: the state or the weights overflowed.
func warnOfLosses(w io.Writer, t *table.Table) error {
	losses, err := t.Float("loss")
	if err != nil {
		return err
	}
	positions, err := t.Int("position")
	if err != nil {
		return err
	}
	n, first := 0, int64(math.MaxInt64)
	for i, v := range losses {
		if math.IsInf(v, 0) {
			n, first = n+1, min(first, positions[i])
		}
	}
	if n > 0 {
		fmt.Fprintf(w, "stuffed: %d of %d losses are not finite, the first at token %d: the model overflows there\n", n, len(losses), first)
	}
	return nil
}
