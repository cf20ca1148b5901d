package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/collapse"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, collapseCommand) }

func collapseCommand() *cobra.Command {
	rule := collapse.DefaultRule(0)
	var statesPath, lossesPath, output, sweepPath string
	c := &cobra.Command{
		Use:   "collapse --states S.csv --losses L.csv --train-length N --output V.json",
		Short: "Judge state explosion and degradation from tables alone",
		Long: `Reads states (columns prompt, position, layer, head, norm) and losses (prompt,
position, loss in nats) as CSV or Parquet; positions are tokens from 0, any stride.
Writes the verdict with onsets, 95 % intervals and the exploding heads as JSON.

Columns of --sweep:
` + table.Help[collapse.SweepRow](),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := rule.Validate(); err != nil {
				return err
			}
			states, err := table.Read(statesPath)
			if err != nil {
				return fmt.Errorf("--states: %w", err)
			}
			losses, err := table.Read(lossesPath)
			if err != nil {
				return fmt.Errorf("--losses: %w", err)
			}
			verdict, err := collapse.Judge(states, losses, rule)
			if err != nil {
				return err
			}
			if sweepPath != "" {
				sweep, err := collapse.Sweep(states, losses, rule, collapse.DefaultGrid())
				if err != nil {
					return err
				}
				if err := sweep.Write(sweepPath); err != nil {
					return err
				}
			}
			verdict.Print(cmd.OutOrStdout())
			return verdict.Write(output)
		},
	}
	f := c.Flags()
	f.StringVar(&statesPath, "states", "", "table of state norms (.csv or .parquet)")
	f.StringVar(&lossesPath, "losses", "", "table of losses (.csv or .parquet)")
	f.IntVar(&rule.TrainLength, "train-length", 0, "training length in tokens")
	f.Float64Var(&rule.K, "k", rule.K, "explosion: factor over the largest in-window norm")
	f.IntVar(&rule.M, "m", rule.M, "tokens that explosion and degradation must last")
	f.Float64Var(&rule.Factor, "factor", rule.Factor, "paper and perplexity rules: factor over the in-window maximum")
	f.Float64Var(&rule.Margin, "margin", rule.Margin, "strict rule: nats over the in-window level")
	f.IntVar(&rule.Bucket, "bucket", rule.Bucket, "tokens per loss bucket, 0 chooses by the noise")
	f.StringVar(&rule.Column, "column", rule.Column, "column of the states to judge (norm, variance, …)")
	f.IntVar(&rule.Resamples, "resamples", rule.Resamples, "bootstrap resamples")
	f.Uint64Var(&rule.Seed, "seed", rule.Seed, "seed of the bootstrap")
	f.StringVar(&sweepPath, "sweep", "", "also write a sweep over all thresholds (.csv or .parquet)")
	f.StringVar(&output, "output", "", "verdict (.json)")
	for _, name := range []string{"states", "losses", "train-length", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
