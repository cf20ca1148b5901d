package main

import (
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/notebook"
	"stuffed/pkg/trace"
)

func init() { commands = append(commands, traceCommand) }

func traceCommand() *cobra.Command {
	var m modelFlags
	var t textsFlags
	var c trace.Config
	var source trace.Source
	var entries []string
	var positions []int
	var bins int
	var output string
	cmd := &cobra.Command{
		Use:   "trace --model DIR --output T.parquet",
		Short: "State statistics of every layer and head, token by token or by buckets",
		Long: `Reads prompts of any length in one pass with constant memory and writes, for every layer and head, one row per bucket: prompt, position
(first token), tokens, layer, head and --columns. Means over the bucket: mean, variance, rms and (Frobenius) norm of the entries of
the state, delta, log_alpha, x_norm, b_norm, c_norm, write_norm. After its last token: absmax, top_share (of the squared norm, in the
top sixteenth of the state channels), log_retention (sum of log α from the first token on) and retention (its exponential, that of the
first token). Only where asked for by name, after the last token of a bucket: effective_rank (exponential of the entropy of the state's
singular values), stable_rank (squared norm over the largest singular value squared) and numerical_rank (singular values above a
hundredth of the largest). Statistics are those of every token; --bucket 1 writes them all. They are derived in float64; on an NVIDIA GPU kernels
follow the states in float32 unless --exact is given, which is slow there.

Beside the states lie T.losses.parquet (prompt, position, tokens, loss in nats), and what is asked for: T.window.parquet (the past
inputs that a short convolution or a token shift holds), T.channels.parquet (x, B and C by channel), T.entries.parquet (single entries
of the state), T.histograms.parquet (entries after chosen tokens, on common edges), and the manifest.
"stuffed collapse --states T.parquet --losses T.losses.parquet" judges them.

An interrupted run resumes when it is started again with the same flags; what has been written so far can be read meanwhile.`,
		Example: `  stuffed trace --model out/my-model --kind newlines --length 32K --output out/newlines.parquet
  stuffed trace --model out/my-model --kind stream --length 1M --bucket 256 --columns norm,variance,retention --output out/stream.parquet
  stuffed trace --model out/my-model --tokens p.jsonl --bucket 1 --channels 0,1 --histogram 255,4095 --output out/p.parquet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if source.Texts, err = t.read(); err != nil {
				return err
			}
			if c.Entries, err = trace.ParseEntries(entries); err != nil {
				return err
			}
			model, err := m.openFor(source.Texts.Length * max(source.Texts.Count, 1))
			if err != nil {
				return err
			}
			progress := notebook.NewProgress("trace", 0, "tokens")
			c.Progress = progress.Of
			if err := trace.File(cmd.Context(), model, source, c, positions, bins, output); err != nil {
				return err
			}
			progress.Done()
			return nil
		},
	}
	f := cmd.Flags()
	m.add(f)
	m.addDevices(f)
	t.add(f, "newlines", "16K")
	f.StringVar(&source.Tokens, "tokens", "", "sequences of token ids instead: JSON lines, each an array or an object with ids (and name)")
	f.IntVar(&c.Bucket, "bucket", 64, "tokens of a row")
	f.StringSliceVar(&c.Columns, "columns", nil, "columns of the states: "+strings.Join(trace.Columns, ", ")+" (default all but ranks)")
	f.BoolVar(&c.Window, "window", false, "also the statistics of the past inputs that a short convolution or a token shift holds")
	f.IntSliceVar(&c.Channels, "channels", nil, "layers whose x, B and C are written channel by channel")
	f.StringSliceVar(&entries, "entries", nil, "single entries of the state as HEAD/CHANNEL/STATE, in every layer")
	f.IntSliceVar(&positions, "histogram", nil, "tokens (ascending, from 0) after which the entries of the states are counted")
	f.IntVar(&bins, "bins", 101, "bins of the histograms")
	f.IntVar(&c.Beyond, "train-length", 0, "training length in tokens: prompts that are not longer are refused")
	f.BoolVar(&c.Exact, "exact", false, "statistics in float64 on a GPU too")
	f.IntVar(&c.Batch, "batch", 1, "prompts of equal length that run side by side")
	f.StringVar(&output, "output", "", "table of the states (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}
