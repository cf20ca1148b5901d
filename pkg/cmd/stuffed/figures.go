package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/figure"
)

func init() { commands = append(commands, figuresCommand) }

func figuresCommand() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use:   "figures",
		Short: "List, redraw or check the figures",
		Long: "Every figure is a folder with PDF, SVG, PNG (300 dpi), the plotted points as CSV, the spec and a manifest.\n" +
			"Notebooks draw them from results; these commands work on figures that exist.",
	}
	root.PersistentFlags().StringVar(&dir, "dir", "figures", "folder of the figures")
	each := func(do func(dir, id string) error, word string) func(*cobra.Command, []string) error {
		return func(c *cobra.Command, ids []string) error {
			if len(ids) == 0 {
				var err error
				if ids, err = figure.List(dir); err != nil {
					return err
				}
			}
			var all error
			failed := 0
			for _, id := range ids {
				if err := do(dir, id); err != nil {
					failed++
					all = errors.Join(all, err)
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "%d figures %s, %d failed\n", len(ids)-failed, word, failed)
			return all
		}
	}
	tolerance := 0.0
	compare := &cobra.Command{
		Use: "compare DIR [ID…]", Short: "Compare the points of figures with those in another folder", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return each(func(dir, id string) error { return figure.Compare(dir, args[0], id, tolerance) }, "equal")(c, args[1:])
		},
	}
	compare.Flags().Float64Var(&tolerance, "tolerance", 1e-6, "allowed difference as a part of the largest magnitude of a column")
	root.AddCommand(compare, figuresReport(&dir),
		&cobra.Command{
			Use: "list", Short: "Name the figures", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				ids, err := figure.List(dir)
				for _, id := range ids {
					fmt.Fprintln(c.OutOrStdout(), id)
				}
				return err
			},
		},
		figuresDraw(each), figuresExport(each),
		&cobra.Command{
			Use: "check [ID…]", Short: "Redraw figures in memory and compare every byte, and the manifest's hashes",
			RunE: each(figure.Check, "checked"),
		},
	)
	return root
}
