package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/datasets"
	"stuffed/pkg/eval"
	"stuffed/pkg/notebook"
	"stuffed/pkg/task"
)

func taskNoise() *cobra.Command {
	var t taskFlags
	var m modelFlags
	var n eval.Noise
	var output string
	c := &cobra.Command{
		Use:   "noise --model DIR --task NAME --length N [--set key=value …] --output R.parquet",
		Short: "How many bits per state entry a task needs",
		Long: `Reads sequences up to the first question, adds noise of --sigma times the root mean square of its head to every number of the
recurrent state, and asks. Noise of sigma leaves a number ½·log2(1 + 1/sigma²) bits; the largest noise at which recall holds says
how many it needs. Columns: member, sigma, bits, answers, accuracy, accuracy_low, accuracy_high, loss.`,
		Example: `  stuffed task noise --model out/my-model --task mqar --length 256 --set pairs=16 --count 200 --output out/noise.csv`,
		RunE: func(c *cobra.Command, more []string) error {
			return runNoise(c.Context(), m, t, append(t.settings, more...), n, output)
		},
	}
	m.add(c.Flags())
	t.add(c)
	c.Flags().Float64SliceVar(&n.Levels, "sigma", []float64{0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3}, "noise levels, from 0")
	c.Flags().StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func runNoise(ctx context.Context, m modelFlags, t taskFlags, settings []string, n eval.Noise, output string) error {
	model, err := m.open()
	if err != nil {
		return err
	}
	var enc datasets.Encoder
	if task.Textual(t.name) {
		if enc, err = model.Encoder(); err != nil {
			return err
		}
	}
	t.settings = nil
	if n.Task, err = t.open(settings, enc); err != nil {
		return err
	}
	n.Count, n.Seed = t.count, t.seed
	note, err := model.Manifest([]any{"noise", n.Task.Version, n.Task.Length, n.Task.Params, n.Count, n.Levels}, []int64{n.Seed})
	if err != nil {
		return err
	}
	if err := note.Start(output); err != nil {
		return err
	}
	rows, err := n.Run(ctx, model.Runner)
	if err != nil {
		return err
	}
	if err := rows.Write(output); err != nil {
		return err
	}
	if err := note.Finish(output); err != nil {
		return err
	}
	if err := notebook.Table(rows, map[string]string{"loss": "nats"}); err != nil {
		return err
	}
	sigma, err := rows.Float("sigma")
	if err != nil {
		return err
	}
	accuracy, err := rows.Float("accuracy")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("bits of a number at which half of the accuracy is left: %.2f\n", eval.BitsNeeded(sigma, accuracy, 0.5))
	return err
}
