package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/verify"
	"stuffed/xla"
)

func init() { commands = append(commands, verifyCommand) }

func verifyCommand() *cobra.Command {
	var backend string
	var all bool
	c := &cobra.Command{
		Use:   "verify DIR…",
		Short: "Recompute reference fixtures and compare number by number",
		Long: `Finds every fixture in the folders and below: models (config.json and weights of either layout, with reference
tensors beside them or in the folder above), bare cases of the operator, texts with their token ids. Recomputes what
is there in float32, within the tolerances of the nearest manifest.json (without one: 10 times the difference of
golden and truth, at least 2e-6 of the largest entry), and in float64, where references computed in float64 must be
met to 1e-11 and rounded ones to 1.2e-7 of the largest entry. Prints a line for each failure and, last,
"N passed, M failed"; exits with 1 on any failure.`,
		Example: "  stuffed verify pkg/recurrence/testdata --backend cpu",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			device, err := xla.Open(backend)
			if err != nil {
				return err
			}
			sum, err := verify.Run(cmd.Context(), device, dirs, func(c verify.Check) {
				switch {
				case c.Note:
					fmt.Fprintln(cmd.ErrOrStderr(), "note:", c)
				case c.Err != nil:
					fmt.Fprintln(cmd.OutOrStdout(), "FAILED", c)
				case all:
					fmt.Fprintln(cmd.OutOrStdout(), "passed", c)
				}
			})
			if cmd.Context().Err() != nil {
				return err // the sum of a part is not the last line
			}
			fmt.Fprintln(cmd.OutOrStdout(), sum)
			if err == nil && sum.Failed > 0 {
				err = fmt.Errorf("verify: %d of %d checks failed", sum.Failed, sum.Passed+sum.Failed)
			}
			return err
		},
	}
	c.Flags().StringVar(&backend, "backend", "auto", "device: auto, cpu, cuda, go or a GoMLX string")
	c.Flags().BoolVar(&all, "all", false, "also print a line for each check that passed")
	return c
}
