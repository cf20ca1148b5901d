package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/atomic"
	"stuffed/pkg/bench"
	"stuffed/pkg/study"
	"stuffed/xla"
)

func benchScaling() *cobra.Command {
	var backend, output, child string
	s := bench.Scaling{}
	c := &cobra.Command{
		Use: "scaling", Short: "Measure what several devices of this host are worth", Args: cobra.NoArgs,
		Long: `Times one model of 130m whose sequences are shared by 1, 2 and 4 devices at equal tokens per device, independent processes
that train small models on a GPU each (and two on each), and stuffed study run on a plan of equal rows with as many workers. Each measurement
runs in its own processes and is the median of --steps calls after three to warm up; the plan is timed once, from start to end.
On a CPU, whose devices share its cores, --tiny only shows that it runs.`,
		Example: "  stuffed bench scaling --output scaling.json\n  stuffed bench scaling --backend cpu --tiny --output scaling.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if child != "" {
				d, err := xla.Open(backend, xla.Options{Fast: true})
				if err != nil {
					return err
				}
				return bench.ScalingChild(d, child, s.Devices[0], s.Steps, s.Tiny, cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if err := fillScaling(&s, backend); err != nil {
				return err
			}
			return s.Report(cmd.Context(), func(r *bench.Report, row bench.Row) error {
				printRow(cmd.OutOrStdout(), row)
				if output == "" {
					return nil
				}
				return r.Write(output)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "auto", "auto (cuda where this host has GPUs, else cpu), cuda, cpu or a GoMLX string")
	f.IntSliceVar(&s.Devices, "devices", nil, "numbers of devices of one model (default 1, 2 and 4, as far as there are GPUs)")
	f.IntSliceVar(&s.Workers, "workers", nil, "numbers of processes and workers (default 1, one for each GPU, and two for each)")
	f.StringSliceVar(&s.Only, "only", nil, "of "+strings.Join(bench.ScalingWorks, ", "))
	f.IntVar(&s.Steps, "steps", 24, "timed calls")
	f.BoolVar(&s.Tiny, "tiny", false, "small shapes, for a CPU")
	f.StringVar(&output, "output", "", "report (.json), written again after every row")
	f.StringVar(&child, "child", "", "")
	cobra.CheckErr(f.MarkHidden("child"))
	return c
}

// fillScaling fills in what the host has.
func fillScaling(s *bench.Scaling, backend string) error {
	gpus := study.GPUs()
	kind := kindOf(backend)
	available := 4 // devices as which XLA's processor plug-in poses
	if kind == "cuda" {
		s.GPUs, available = gpus, len(gpus)
	}
	if len(s.Devices) == 0 {
		s.Devices = slices.DeleteFunc([]int{1, 2, 4}, func(n int) bool { return n > 1 && n > available })
	}
	if len(s.Workers) == 0 {
		s.Workers = slices.Compact([]int{1, max(len(s.GPUs), 1), 2 * max(len(s.GPUs), 1)})
	}
	for _, n := range append(slices.Clone(s.Devices), s.Workers...) {
		if n < 1 {
			return fmt.Errorf("--devices and --workers hold %d; choose 1 or more", n)
		}
	}
	if most := slices.Max(s.Devices); most > available {
		return fmt.Errorf("--devices asks for %d, but this host has %d (%s); choose fewer, or free them in CUDA_VISIBLE_DEVICES", most, available, kind)
	}
	if s.Steps < 1 {
		return fmt.Errorf("--steps is %d; choose 1 or more", s.Steps)
	}
	for _, name := range s.Only {
		if !slices.Contains(bench.ScalingWorks, name) {
			return fmt.Errorf("--only names %q; choose from %s", name, strings.Join(bench.ScalingWorks, ", "))
		}
	}
	program, err := os.Executable()
	s.Command = []string{program, "bench", "scaling", "--backend", backend}
	s.Study = []string{program, "study", "run", "--backend", backend}
	return err
}

func printRow(w io.Writer, r bench.Row) {
	if r.Error != "" {
		fmt.Fprintf(w, "%s  %s  failed: %s\n", r.Work, r.Shape, r.Error)
		return
	}
	fmt.Fprintf(w, "%s  %s  %.4g %s  (%.4g … %.4g)  %s\n", r.Work, r.Shape, r.Median, r.Unit, r.Min, r.Max, r.Note)
}

func benchAgainst() *cobra.Command {
	var backend, scale, output string
	var only []string
	rounds := 2
	c := &cobra.Command{
		Use: "against PROGRAM", Short: "Compare the speed of this build with that of another, in turn on one device", Args: cobra.ExactArgs(1),
		Long: `Runs "stuffed bench" with the given program, for instance one built from an earlier revision, and with this one, alternating for
--rounds rounds, and writes what both measured, even when it is interrupted.`,
		Example: "  stuffed bench against out/stuffed-before --backend cpu --scale cpu --only train,prefill --output against.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := os.Executable()
			if err != nil {
				return err
			}
			child := []string{"--backend", backend, "--scale", scale}
			if len(only) > 0 {
				child = append(child, "--only", strings.Join(only, ","))
			}
			return bench.Against(cmd.Context(), args[0], after, rounds, child, func(c *bench.Comparison) error {
				fmt.Fprint(cmd.OutOrStdout(), c)
				if output == "" {
					return nil
				}
				data, err := json.MarshalIndent(c, "", " ")
				if err != nil {
					return err
				}
				return atomic.Bytes(output, append(data, '\n'))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go or a GoMLX string")
	f.StringVar(&scale, "scale", "auto", "see stuffed bench")
	f.StringSliceVar(&only, "only", []string{"train", "prefill"}, "see stuffed bench")
	f.IntVar(&rounds, "rounds", rounds, "runs of each program")
	f.StringVar(&output, "output", "", "comparison (.json), written again after every round and when stopped")
	return c
}
