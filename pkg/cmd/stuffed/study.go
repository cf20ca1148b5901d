package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stuffed/pkg/atomic"
	"stuffed/pkg/notebook"
	"stuffed/pkg/paper"
	"stuffed/pkg/report"
	"stuffed/pkg/study"
	"stuffed/xla"
	"stuffed/xla/share"
)

func init() { commands = append(commands, studyCommand) }

func studyCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "study",
		Short: "Run grids of trained models that resume, by one or many workers",
		Long: `A plan (JSON) is a base configuration and groups of rows that vary it; each row is one model shape and training
length with all its members. Rows are kept whole or not at all in a store folder, which any number of workers on any
number of machines may share. Interrupted runs resume where they stopped. PLAN is a file or one
of the shipped plans: ` + strings.Join(study.Plans(), ", ") + ".",
	}
	var store string
	root.PersistentFlags().StringVar(&store, "store", "", "folder of the results (default out/study/NAME of the plan)")
	open := func(path string) (*study.Plan, *study.Store, []study.Row, error) {
		p, err := study.ReadPlan(path)
		if err != nil {
			return nil, nil, nil, err
		}
		if store == "" {
			store = filepath.Join("out", "study", p.Name)
		}
		rows, err := p.Rows()
		if err != nil {
			return nil, nil, nil, err
		}
		s, err := study.OpenStore(store)
		return p, s, rows, err
	}
	root.AddCommand(studyPlan(open), studyRun(open), studySubmit(open), studyStatus(open), studyCollect(open), studyJoin(open), studyDrop(open), studyClaims(), studyCompare(), studyRead())
	return root
}

type opener = func(path string) (*study.Plan, *study.Store, []study.Row, error)

func studyPlan(open opener) *cobra.Command {
	var speed float64
	var kind string
	c := &cobra.Command{
		Use: "plan PLAN", Short: "List the rows of a plan and estimate time and memory", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			status, err := s.Status(rows)
			if err != nil {
				return err
			}
			if speed == 0 {
				speed = study.Speed(kind)
			}
			return study.PrintPlan(cmd.OutOrStdout(), p, status, speed, kind)
		},
	}
	c.Flags().StringVar(&kind, "backend", "cuda", "cuda, cpu or go: whose usual speed to assume before any row is done, and whose memory")
	c.Flags().Float64Var(&speed, "speed", 0, "floating-point operations per second to assume instead")
	return c
}

func studyStatus(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "status PLAN", Short: "Show which rows are done, running, failed or open, and the jobs of Slurm", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			status, err := s.Status(rows)
			if err != nil {
				return err
			}
			left, _ := study.Estimate(status, study.Speed("cuda"), 1)
			if err := study.PrintStatus(cmd.OutOrStdout(), status, left); err != nil {
				return err
			}
			return s.PrintJobs(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func studyCollect(open opener) *cobra.Command {
	var output, models string
	c := &cobra.Command{
		Use: "collect PLAN", Short: "Check all finished rows and join their tables as Parquet", Args: cobra.ExactArgs(1),
		Long: `Writes a table of each kind with the lines of all finished rows. In front of each line stand the row's hash, group, data, architecture
(where the plan compares several), state, heads, width, layers, train_length, gap, n_s and n_s_carried (recurrent and carried state,
millions of scalars). The table rows has one line per row, with the seconds that it took.
` + study.Columns(),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			if output == "" {
				output = filepath.Join(s.Dir, "tables")
			}
			names, missing, err := s.Collect(rows, output)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d of %d rows in %s: %s\n", len(rows)-len(missing), len(rows), output, strings.Join(names, ", "))
			for _, row := range missing {
				fmt.Fprintf(cmd.ErrOrStderr(), "missing: %s (%s)\n", row.Hash, row.Label)
			}
			if models != "" {
				names, err = s.Models(p.Name, rows, models)
				fmt.Fprintf(cmd.OutOrStdout(), "%d models in %s: %s\n", len(names), models, strings.Join(names, ", "))
			}
			return err
		},
	}
	c.Flags().StringVar(&output, "output", "", "folder of the tables (default STORE/tables)")
	c.Flags().StringVar(&models, "models", "", "also copy the weights that rows kept to this folder")
	return c
}

func studyJoin(open opener) *cobra.Command {
	var from []string
	c := &cobra.Command{
		Use: "join PLAN --from STORE [--from STORE …]", Short: "Copy the finished rows of other stores into one", Args: cobra.ExactArgs(1),
		Long: `For machines that share no folder: each runs the plan (or some of its rows, study run --row) into a store of its own, and join puts
the finished rows together. Every row is checked against its manifest before and after it is copied; the other stores are only
read. A row that is there stays; where several stores hold different versions of a row, the one whose manifest has the smallest
SHA-256 is taken, whatever the order, and the conflict is named. Damaged rows and rows of other plans are named and left out;
with damaged ones the exit status is 1.`,
		Example: "  stuffed study join text-law --store out/study/text-law --from out/a/text-law --from out/b/text-law",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			j, err := s.Join(rows, from)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d rows taken, %d there already, %d conflicts, %d of other plans, %d damaged\n", len(j.Taken), len(j.Known), len(j.Conflicts), len(j.Strange), len(j.Damaged))
			for _, list := range []struct {
				what  string
				lines []string
			}{{"conflict", j.Conflicts}, {"not of this plan", j.Strange}, {"damaged", j.Damaged}} {
				for _, line := range list.lines {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", list.what, line)
				}
			}
			if len(j.Damaged) > 0 {
				return fmt.Errorf("study join: %d damaged rows were left out", len(j.Damaged))
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&from, "from", nil, "folder of another store, any number of times")
	cobra.CheckErr(c.MarkFlagRequired("from"))
	return c
}

func studyDrop(open opener) *cobra.Command {
	var except []string
	c := &cobra.Command{
		Use: "drop PLAN", Short: "Remove kept weights from the finished rows of a store", Args: cobra.ExactArgs(1),
		Long: `Removes the weights that rows kept, so that tables ship without them; manifests keep their names and hashes.
--except ROW/MODEL keeps one, for example --except 018b9fc03882/zero-0.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			status, err := s.Status(rows)
			if err != nil {
				return err
			}
			files := 0
			for _, r := range status {
				if r.State != "done" {
					continue
				}
				var stay []string
				for _, e := range except {
					if row, model, _ := strings.Cut(e, "/"); row == r.Hash {
						stay = append(stay, model)
					}
				}
				n, err := s.DropWeights(r.Hash, stay...)
				if err != nil {
					return err
				}
				files += n
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files removed\n", files)
			return err
		},
	}
	c.Flags().StringSliceVar(&except, "except", nil, "weights that stay, as ROW/MODEL")
	return c
}

func studyRun(open opener) *cobra.Command {
	var backend string
	var workers int
	var limit time.Duration
	var retry, worker, fast bool
	var only []string
	c := &cobra.Command{
		Annotations: map[string]string{savesAtTheEnd: "yes"},
		Use:         "run PLAN", Short: "Train and measure the unfinished rows", Args: cobra.ExactArgs(1),
		Long: `Trains and measures rows until none is left. With --workers N, N processes work side by side: each on a
GPU of its own where there are several, in turn where there are more workers than GPUs, so that some compile while others compute
(CUDA_VISIBLE_DEVICES chooses the GPUs). Ctrl-C, TERM, USR1 or --time-limit hands back the rows in progress and exits with status 3;
the same command resumes later.

Before it starts it says about how much device memory a worker takes, and how many fit if there are too many. A worker whose row runs out
of device memory while other workers of yours share the device, in whatever store, hands the row back, frees its memory and goes on
when one of them has ended, or after five minutes. Alone on its device the row has failed. A full disk, too many open files or a device
that is in use fail no row. A row that failed or stopped goes on at its last snapshot, after training at its measurement.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			if rows, err = study.Named(rows, only); err != nil {
				return err
			}
			ctx := cmd.Context()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			if worker {
				ctx = study.UntilClosed(ctx, os.Stdin)
			}
			if !worker {
				if retry {
					if _, err := s.Forgive(rows); err != nil {
						return err
					}
				}
				var gpus []string
				kind := kindOf(backend)
				if kind == "cuda" {
					if gpus = study.GPUs(); backend == "auto" {
						backend = kind // a worker that finds no GPU must not go on without one
					}
				}
				child := []string{"study", "run", args[0], "--store", s.Dir, "--backend", backend, "--worker", fmt.Sprint("--fast=", fast)}
				for _, row := range only {
					child = append(child, "--row", row)
				}
				return study.Supervise(ctx, s, rows, workers, gpus, kind, child, cmd.OutOrStdout(), notebook.NewProgress("study", 0, "GFLOP").Of)
			}
			w := &study.Worker{Store: s, Log: func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }}
			if seat, err := share.Enter(study.Place(os.Getenv("CUDA_VISIBLE_DEVICES"))); err == nil {
				defer seat.Leave()
				w.Others = seat.Others
			}
			d, err := xla.Open(backend, xla.Options{Fast: fast})
			if _, out := xla.OutOfMemory(err); out && w.Others != nil && w.Others() > 0 {
				return fmt.Errorf("%w: %w", study.ErrCrowded, err)
			} else if err != nil {
				return err
			}
			w.Runner, w.Answers = &study.Trainer{Device: d}, d.Answers
			_, err = w.Run(ctx, rows)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go or a GoMLX string")
	f.IntVar(&workers, "workers", 1, "processes side by side on this device")
	f.DurationVar(&limit, "time-limit", 0, "stop cleanly after this time, such as 8m")
	f.BoolVar(&retry, "retry", false, "also retry rows that failed before")
	f.StringSliceVar(&only, "row", nil, "hashes of the rows to run, as study plan lists them (default: all)")
	f.BoolVar(&fast, "fast", false, "TF32 for float32 products on CUDA")
	f.BoolVar(&worker, "worker", false, "")
	cobra.CheckErr(f.MarkHidden("worker"))
	return c
}

// kindOf is the kind of device that xla.Open will choose, as far as that can be told without opening it.
func kindOf(backend string) string {
	if backend == "" || backend == "auto" {
		backend = os.Getenv("BACKEND")
		if backend == "" && len(study.GPUs()) > 0 && xla.Installed("cuda") {
			return "cuda"
		}
	}
	for _, kind := range []string{"cuda", "cpu", "go"} {
		if strings.Contains(backend, kind) {
			return kind
		}
	}
	return "cpu"
}

func studyClaims() *cobra.Command {
	var root, output, readme, results string
	c := &cobra.Command{
		Use: "claims", Short: "Check every claim of the paper against the collected studies", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.ContainsFunc(study.Plans(), func(plan string) bool { return study.Collected(root, plan) }) {
				return fmt.Errorf("--root %s holds no collected study; give the folder that stuffed study collect wrote to, %s for those that ship", root, study.Shipped)
			}
			claims, err := paper.Claims(root)
			if err != nil {
				return err
			}
			if output != "" {
				if err := paper.ClaimsTable(claims).Write(output); err != nil {
					return err
				}
			}
			old, err := paper.Unrevised(root)
			if err != nil {
				return err
			}
			whole := paper.ClaimsMarkdown(claims) + old
			for path, text := range map[string]string{readme: paper.ShortMarkdown(claims), results: whole} {
				if path == "" {
					continue
				}
				data, err := report.Between(path, "claims", text)
				if err != nil {
					return err
				}
				if err := atomic.Bytes(path, data); err != nil {
					return err
				}
			}
			if readme == "" && results == "" {
				_, err = fmt.Fprint(cmd.OutOrStdout(), whole)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&root, "root", study.Shipped, "folder of the collected studies, one folder for each plan")
	f.StringVar(&output, "output", "", "also write the claims as a table (.csv or .parquet)")
	f.StringVar(&readme, "readme", "", "write the short list between the lines <!-- claims --> and <!-- /claims --> of this file")
	f.StringVar(&results, "results", "", "write the whole list between the lines <!-- claims --> and <!-- /claims --> of this file")
	return c
}

func studyCompare() *cobra.Command {
	var root, with string
	c := &cobra.Command{
		Use: "compare --with DIR", Short: "Compare models of text-law with ones that were trained again from the same rows", Args: cobra.NoArgs,
		Long: `Compares the collected tables of text-law in two folders of studies, row by row and seed by seed: the verdict on newlines, and the loss on
documents against what two seeds of the row differ by. To train a shipped row again:

  stuffed study run text-law --row 018b9fc03882 --store out/again/text-law
  stuffed study collect text-law --store out/again/text-law
  stuffed study compare --with out/again`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := paper.Again(root, with)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), paper.AgainMarkdown(all))
			return err
		},
	}
	c.Flags().StringVar(&root, "root", study.Shipped, "folder of the collected studies, one folder for each plan")
	c.Flags().StringVar(&with, "with", "", "folder of studies that were run again")
	cobra.CheckErr(c.MarkFlagRequired("with"))
	return c
}
