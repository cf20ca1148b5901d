package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// stateTest measures what a model does with its state on the sequences of a task.
type stateTest struct {
	options any // for the manifest
	run     func(ctx context.Context, r *lm.Runner, one *task.Task, count int, seed int64) (rows *table.Table, note string, err error)
}

// stateTestCommand adds model, task and output to a command that measures.
func stateTestCommand(c *cobra.Command, test *stateTest) *cobra.Command {
	var t taskFlags
	var m modelFlags
	var output string
	c.RunE = func(c *cobra.Command, more []string) error {
		return runStateTest(c.Context(), m, t, append(t.settings, more...), test, output)
	}
	m.add(c.Flags())
	t.add(c)
	c.Flags().StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func runStateTest(ctx context.Context, m modelFlags, t taskFlags, settings []string, test *stateTest, output string) error {
	model, err := m.open()
	if err != nil {
		return err
	}
	enc, err := t.encoder(model)
	if err != nil {
		return err
	}
	t.settings = nil
	one, err := t.open(settings, enc)
	if err != nil {
		return err
	}
	note, err := model.Manifest([]any{"state", one.Version, one.Length, one.Params, t.count, test.options}, []int64{t.seed})
	if err != nil {
		return err
	}
	if err := note.Start(output); err != nil {
		return err
	}
	rows, text, err := test.run(ctx, model.Runner, one, t.count, t.seed)
	if err != nil {
		return err
	}
	if err := rows.Write(output); err != nil {
		return err
	}
	if err := note.Finish(output); err != nil {
		return err
	}
	units := map[string]string{}
	for _, c := range rows.Columns {
		if c.Name == "loss" || c.Name == "rise" {
			units[c.Name] = "nats"
		}
	}
	if err := notebook.Table(rows, units); err != nil {
		return err
	}
	_, err = fmt.Println(text)
	return err
}

func taskNoise() *cobra.Command {
	var levels []float64
	test := &stateTest{options: &levels, run: func(ctx context.Context, r *lm.Runner, one *task.Task, count int, seed int64) (*table.Table, string, error) {
		rows, err := eval.Noise{Task: one, Count: count, Seed: seed, Levels: levels}.Run(ctx, r)
		if err != nil {
			return nil, "", err
		}
		v, err := firstMember(rows, "sigma", "accuracy")
		if err != nil {
			return nil, "", err
		}
		return rows, fmt.Sprintf("bits of a number at which half of the accuracy is left: %.2f", eval.BitsNeeded(v[0], v[1], 0.5)), nil
	}}
	c := stateTestCommand(&cobra.Command{
		Use:   "noise --model DIR --task NAME --length N [--set key=value …] --output R.parquet",
		Short: "How many bits per state entry a task needs",
		Long: `Reads sequences up to the first question, adds noise of --sigma times the root mean square of its head to every number of the
recurrent state, and asks. Noise of sigma leaves a number ½·log2(1 + 1/sigma²) bits; the largest noise at which recall holds says
how many it needs.

Columns:
` + table.Help[eval.NoiseRow](),
		Example: `  stuffed task noise --model out/my-model --task mqar --length 256 --set pairs=16 --count 200 --output out/noise.csv`,
	}, test)
	c.Flags().Float64SliceVar(&levels, "sigma", []float64{0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3}, "noise levels, from 0")
	return c
}

func taskChannels() *cobra.Command {
	var shares []float64
	var tolerance float64
	test := &stateTest{options: &shares, run: func(ctx context.Context, r *lm.Runner, one *task.Task, count int, seed int64) (*table.Table, string, error) {
		rows, err := eval.Channels{Task: one, Count: count, Seed: seed, Shares: shares}.Run(ctx, r)
		if err != nil {
			return nil, "", err
		}
		v, err := firstMember(rows, "share", "rise")
		if err != nil {
			return nil, "", err
		}
		return rows, fmt.Sprintf("share of the channels that go before the loss rises by more than %g nats an answer: %.3f", tolerance, eval.Removable(v[0], v[1], tolerance)), nil
	}}
	c := stateTestCommand(&cobra.Command{
		Use:   "channels --model DIR --task NAME --length N [--set key=value …] --output R.parquet",
		Short: "How many channels of the state a task could do without",
		Long: `Reads sequences up to the first question, sets the key channels that hold least in each head to 0, and asks.

Columns:
` + table.Help[eval.ChannelRow](),
		Example: `  stuffed task channels --model out/my-model --task mqar --length 256 --set pairs=16 --count 200 --output out/channels.csv`,
	}, test)
	c.Flags().Float64SliceVar(&shares, "share", []float64{0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}, "shares of the channels to remove, from 0")
	c.Flags().Float64Var(&tolerance, "tolerance", 0.01, "rise of the loss that counts as none, nats an answer")
	return c
}

func taskRank() *cobra.Command {
	var positions []int
	test := &stateTest{options: &positions, run: func(ctx context.Context, r *lm.Runner, one *task.Task, count int, seed int64) (*table.Table, string, error) {
		at := positions
		if len(at) == 0 {
			for p := max(one.Length/16, 1); p < one.Length; p *= 2 {
				at = append(at, p)
			}
		}
		all := table.New()
		for i := range count {
			q, err := one.Record(seed, int64(i))
			if err != nil {
				return nil, "", err
			}
			rows, err := eval.Use{Positions: at}.Run(ctx, r, q.IDs)
			if err != nil {
				return nil, "", err
			}
			index := make([]int64, rows.Rows())
			for k := range index {
				index[k] = int64(i)
			}
			if err := all.Append(rows.AddInt("index", index)); err != nil {
				return nil, "", err
			}
		}
		return all, fmt.Sprintf("%d sequences; effective ranks lie between 1 and size", count), nil
	}}
	c := stateTestCommand(&cobra.Command{
		Use:   "rank --model DIR --task NAME --length N [--set key=value …] --output R.parquet",
		Short: "Effective rank of the state and of what the past can do, by position",
		Long: `Reads sequences of a task and measures every head at --positions: the effective rank of its state, and of the map from what was written
to what is read later (effective state size, arXiv 2504.19561; only where keys, queries and one decay per head are known).

Columns:
` + table.Help[eval.Rank]() + `
  index        number of the sequence, from 0`,
		Example: `  stuffed task rank --model out/my-model --task mqar --length 256 --set pairs=16 --count 4 --output out/rank.csv`,
	}, test)
	c.Flags().IntSliceVar(&positions, "positions", nil, "tokens read (default: a sixteenth of the length and its doublings)")
	return c
}

// firstMember are columns of the rows of member 0.
func firstMember(rows *table.Table, names ...string) ([][]float64, error) {
	member, err := rows.Int("member")
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(names))
	for k, name := range names {
		v, err := rows.Float(name)
		if err != nil {
			return nil, err
		}
		for i := range v {
			if member[i] == 0 {
				out[k] = append(out[k], v[i])
			}
		}
	}
	return out, nil
}
