package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"stuffed/pkg/bound"
	"stuffed/pkg/notebook"
	"stuffed/pkg/paper"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, boundCommand) }

func boundCommand() *cobra.Command {
	var q bound.Query
	c := &cobra.Command{
		Use:   "bound --items M --keys K --values V --error E --scalars N --bits B",
		Short: "What a state of a given size can hold at most",
		Long: `Prints a JSON list with one object per bound: name, formula, source, and whichever of need_bits, have_bits, max_items,
min_error, accuracy and possible the bound speaks of.

  information   bits that M values out of V take when a share E of them may be wrong (Fano)
  dictionary    bits of a table that also tells which of K keys are bound
  copying       share of uniform strings of M tokens that must come out wrong
  rank          keys that the heads of a linear state tell apart exactly
  interference  expected accuracy when random keys are simply added up
  cache         tokens that attention keeps in the same memory`,
		Example: `  stuffed bound --items 256 --keys 4096 --values 4096 --error 0.01 --scalars 16384 --bits 4
  stuffed bound --items 64 --values 4096 --scalars 2048 --bits 16 --heads 4 --head-dim 32`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("keys") {
				q.Keys = q.Items
			}
			all, err := bound.All(q)
			if err != nil {
				return err
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(all)
		},
	}
	f := c.Flags()
	f.IntVar(&q.Items, "items", 0, "associations, or tokens of a string to copy")
	f.IntVar(&q.Keys, "keys", 0, "number of possible keys (default: as many as items)")
	f.IntVar(&q.Values, "values", 0, "number of possible values")
	f.Float64Var(&q.Error, "error", 0, "share of the items that may be wrong")
	f.IntVar(&q.Scalars, "scalars", 0, "numbers in the state")
	f.Float64Var(&q.Bits, "bits", 16, "usable bits of each number")
	f.IntVar(&q.Heads, "heads", 1, "heads of all layers, for rank and interference")
	f.IntVar(&q.HeadDim, "head-dim", 1, "channels of a head, for rank and interference")
	f.Float64Var(&q.Decay, "decay", 1, "decay of the state from one item to the next, for interference")
	f.IntVar(&q.Width, "width", 64, "numbers in a cached key or value, for the cache")
	f.IntVar(&q.Layers, "layers", 1, "layers of the cache")
	for _, name := range []string{"items", "values", "scalars"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	c.AddCommand(boundStudy())
	return c
}

// boundStudy holds a study's models against the bound.
func boundStudy() *cobra.Command {
	var root, policy string
	c := &cobra.Command{
		Use: "study PLAN", Short: "What the models of a study of the recall stream hold, beside what their states could", Args: cobra.ExactArgs(1),
		Long: `Sets what each model holds at the end of a window beside what its state could hold at most.

Columns:
` + table.Help[paper.HeldRow](),
		RunE: func(_ *cobra.Command, args []string) error {
			held, err := paper.Held(root, args[0], policy)
			if err != nil {
				return err
			}
			return notebook.Table(held, nil)
		},
	}
	c.Flags().StringVar(&root, "root", study.Shipped, "folder of the collected studies")
	c.Flags().StringVar(&policy, "policy", "zero", "initial states of the models in training")
	return c
}
