package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/fit"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, fitCommand) }

func fitCommand() *cobra.Command {
	var input, output string
	var o fit.Options
	c := &cobra.Command{
		Use:   "fit --law forget|recall --input T.csv --output F.json",
		Short: "Fit a law to thresholds known only as brackets",
		Long: `Reads thresholds (columns n_s in millions of state scalars, low and high in K tokens: fails at low, passes at
high; empty high: never passed within the grid, empty low: passed at the smallest length) as CSV or Parquet and
compares constant, linear, power, saturating, quadratic and exponential laws by interval-censored likelihood. No point at the
origin is added. Writes forms (name, params, 95 % intervals, aic, loo), best, undecided, n and warnings as JSON.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := table.Read(input)
			if err != nil {
				return fmt.Errorf("--input: %w", err)
			}
			points, err := fit.Points(t)
			if err != nil {
				return fmt.Errorf("%s: %w", input, err)
			}
			result, err := fit.Fit(points, o)
			if err != nil {
				return fmt.Errorf("%s: %w", input, err)
			}
			fmt.Fprint(cmd.OutOrStdout(), result)
			return result.Write(output)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Law, "law", "", "forget (published as linear) or recall (published as exponential)")
	f.StringVar(&input, "input", "", "table of thresholds (.csv or .parquet)")
	f.StringVar(&output, "output", "", "result (.json)")
	f.IntVar(&o.Resamples, "resamples", 1000, "bootstrap resamples")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the bootstrap")
	for _, name := range []string{"law", "input", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
