package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stuffed/pkg/atomic"
	"stuffed/pkg/bench"
	"stuffed/pkg/report"
	"stuffed/xla"
)

func init() { commands = append(commands, benchCommand) }

func benchCommand() *cobra.Command {
	var backend, output, scale string
	var only []string
	var exact bool
	o := bench.Options{}
	c := &cobra.Command{
		Use:   "bench [--only operator,train,…]",
		Short: "Time operator, training step, prefill, decode and trace; measure accuracy",
		Long: `Measures how fast the project runs on this machine (medians of several runs) and writes a JSON report. --scale gpu uses the official
130m and 370m shapes in bfloat16, --scale cpu a byte model of d 128 in float32; auto chooses by the backend. --scale operators times the operators of all
architectures, forward and with gradients; bench/operators runs flash-linear-attention on the same shapes. --scale byte
times a training step of the byte model of every architecture, in turn with Mamba-2's. --scale accuracy
measures digits instead of time: how far fast mode's logits are from exact mode's (official 130m shape, 2,048 and 65,536 tokens),
the bare operator over 1,048,576 tokens and over arrays of more than 2³¹ entries against a float64 loop at eight places, and a
model of four layers over 1,048,576 tokens in one call against one token at a time in float64 (a GPU of 140 GB). Other backends make
only that last comparison, with the byte model (15 GB of memory, minutes). The scripts in bench/peers run other implementations on the same shapes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := xla.Open(backend, xla.Options{Fast: !exact})
			if err != nil {
				return err
			}
			if scale == "auto" {
				scale = "cpu"
				if d.Kind == "cuda" {
					scale = "gpu"
				}
			}
			o.Only = only
			suite, ok := bench.Suites[scale]
			if !ok {
				return fmt.Errorf("--scale is %q; choose auto, cpu, gpu, operators, byte or accuracy", scale)
			}
			for _, name := range only {
				if !slices.Contains(bench.Works, name) {
					return fmt.Errorf("--only names %q; choose from %s", name, strings.Join(bench.Works, ", "))
				}
			}
			report := bench.NewReport(d)
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(cmd.OutOrStdout(), d.Why)
			return suite(cmd.Context(), d, o, func(r bench.Row) error {
				report.Rows = append(report.Rows, r)
				if r.Error != "" {
					fmt.Fprintf(w, "%s\t%s\tfailed: %s\n", r.Work, r.Shape, r.Error)
				} else {
					fmt.Fprintf(w, "%s\t%s\t%.4g %s\t(%.4g … %.4g)\t%s\n", r.Work, r.Shape, r.Median, r.Unit, r.Min, r.Max, r.Note)
				}
				w.Flush()
				if output == "" {
					return nil
				}
				return report.Write(output)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go or a GoMLX string")
	f.StringVar(&scale, "scale", "auto", "auto, cpu, gpu, operators, byte or accuracy")
	f.StringSliceVar(&only, "only", nil, "kinds of work: "+strings.Join(bench.Works, ", "))
	f.StringSliceVar(&o.Operators, "operators", nil, "with --scale operators: only these, such as gla,\"delta rule\"")
	f.BoolVar(&exact, "exact", false, "no TF32 in float32 products on CUDA")
	f.BoolVar(&o.Explore, "explore", false, "also the variants from which the defaults were chosen")
	f.StringVar(&output, "output", "", "report (.json)")
	c.AddCommand(benchTable(), benchScaling(), benchAgainst(), benchGrowth())
	return c
}

func benchTable() *cobra.Command {
	readme, match, beside, front := "", "", false, false
	c := &cobra.Command{
		Use: "table FILE…", Short: "Write reports as one table", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			rows, err := regexp.Compile(match)
			if err != nil {
				return fmt.Errorf("--match: %w", err)
			}
			write := bench.Markdown
			if beside {
				write = bench.Beside
			}
			if front {
				write = bench.Front
			}
			text, err := write(rows, paths...)
			if err != nil {
				return err
			}
			if readme == "" {
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			data, err := report.Between(readme, "bench", text)
			if err != nil {
				return err
			}
			return atomic.Bytes(readme, data)
		},
	}
	c.Flags().BoolVar(&beside, "beside", false, "our rows only, each with the fastest of other programs for the same work, shape and device")
	c.Flags().BoolVar(&front, "front", false, "the eight rows of the project's first page")
	c.Flags().StringVar(&match, "match", "", "regular expression on work and shape of the rows to take")
	c.Flags().StringVar(&readme, "readme", "", "put the table between the marks of this file")
	c.MarkFlagsMutuallyExclusive("front", "beside")
	c.MarkFlagsMutuallyExclusive("front", "match")
	return c
}
