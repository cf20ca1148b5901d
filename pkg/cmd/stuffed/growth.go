package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/atomic"
	"stuffed/pkg/bench"
	"stuffed/xla"
)

func benchGrowth() *cobra.Command {
	var backend, output, child string
	var value int
	g := bench.Growth{}
	c := &cobra.Command{
		Use: "growth", Short: "Measure how time and memory grow with tokens, layers, width, batch, models, rows and workers", Args: cobra.NoArgs,
		Long: `Varies one property of a small model (width 64, 2 layers) at a time and times reading and training steps, each point in a process of its
own; also times a study's store, with rows that do no work. "stuffed bench growth page" makes the page and its figure.`,
		Example: "  stuffed bench growth --backend cpu --output out/cpu-growth.json\n  stuffed bench growth page out/cpu-growth.json --page out/GROWTH.md",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if child != "" {
				d, err := xla.Open(backend, xla.Options{Fast: true})
				if err != nil {
					return err
				}
				return bench.GrowthChild(cmd.Context(), d, child, value, cmd.OutOrStdout())
			}
			for _, name := range g.Only {
				if !slices.Contains(bench.AxisNames(), name) {
					return fmt.Errorf("--only names %q; choose from %s", name, strings.Join(bench.AxisNames(), "; "))
				}
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if g.Before, err = bench.ReadGrowth(output); err != nil && output != "" && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			g.Command, g.Large = []string{program, "bench", "growth", "--backend", backend}, kindOf(backend) == "cuda"
			return g.Report(cmd.Context(), func(r *bench.GrowthReport, p bench.GrowthPoint) error {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %d: %.4g s, %.0f MB %s\n", p.Axis, p.Value, p.Seconds, float64(p.Memory)/1e6, p.Error)
				if output == "" {
					return nil
				}
				return r.Write(output)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "cpu", "cuda, cpu, go or a GoMLX string")
	f.StringArrayVar(&g.Only, "only", nil, "of "+strings.Join(bench.AxisNames(), "; ")+"; may be repeated")
	f.StringVar(&output, "output", "", "report (.json), written again after every point; an existing one is continued")
	f.StringVar(&child, "child", "", "")
	f.IntVar(&value, "value", 0, "")
	cobra.CheckErr(f.MarkHidden("child"))
	cobra.CheckErr(f.MarkHidden("value"))
	c.AddCommand(growthPage())
	return c
}

func growthPage() *cobra.Command {
	var page string
	var scaling []string
	c := &cobra.Command{
		Use: "page REPORT", Short: "Write the page of growth and its figure from a report", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			const id = "growth"
			text, f, err := bench.GrowthPage(args[0], scaling, id)
			if err != nil {
				return err
			}
			if err := f.Save(filepath.Dir(page), id); err != nil {
				return err
			}
			return atomic.Bytes(page, []byte(text))
		},
	}
	c.Flags().StringVar(&page, "page", "bench/GROWTH.md", "page to write; the figure's folder goes beside it")
	c.Flags().StringSliceVar(&scaling, "scaling", nil, "reports of stuffed bench scaling whose table is also shown")
	return c
}
