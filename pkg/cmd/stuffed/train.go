package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stuffed/pkg/notebook"
	"stuffed/pkg/train"
	"stuffed/xla"
)

func init() { commands = append(commands, trainCommand) }

func trainCommand() *cobra.Command {
	var path, backend string
	var fast, resume, restart, show, dry bool
	var price float64
	c := &cobra.Command{
		Annotations: map[string]string{savesAtTheEnd: "yes"},
		Use:         "train [--config FILE] [key=value …]",
		Short:       "Train models: several seeds, learning rates and initial states side by side",
		Long: `Trains from a JSON configuration with overrides such as

  stuffed train --config configs/recall.json seeds=0,1,2 policy=zero,passed train_length=64 model.state=32 output=out/n32

Every combination of policy, lr and seed is a model of its own; all train in one graph. --show prints the whole
configuration and exits. OUTPUT receives config.json, metrics.jsonl (and .parquet at the end), valid.jsonl (loss by position
on held-out sequences), snapshots/ and models/MEMBER/{step-N,final} in Hugging Face layout. Ctrl-C saves a snapshot;
--resume continues from the newest complete one: on cpu and go bit for bit as without the stop, on a GPU within 1e-6 with
XLA_FLAGS=--xla_gpu_deterministic_ops=true in the environment, which turns off atomic sums and the choice of algorithms by timing.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := train.ReadConfig(path, args...)
			if err != nil {
				return err
			}
			if show {
				return printConfig(cmd.OutOrStdout(), config)
			}
			d, err := xla.Open(backend, xla.Options{Fast: fast})
			if err != nil {
				return err
			}
			if dry {
				return estimateTraining(cmd.OutOrStdout(), d, config, price)
			}
			return runTraining(cmd.Context(), cmd.OutOrStdout(), d, config, resume, restart)
		},
	}
	f := c.Flags()
	f.StringVar(&path, "config", "", "JSON file over the defaults")
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go or a GoMLX string")
	f.BoolVar(&fast, "fast", false, "TF32 for float32 products on CUDA")
	f.BoolVar(&resume, "resume", false, "continue from the newest complete snapshot in the output folder")
	f.BoolVar(&restart, "restart", false, "start from the beginning although the output folder holds snapshots")
	f.BoolVar(&show, "show", false, "print the whole configuration and exit")
	f.BoolVar(&dry, "dry-run", false, "time two calls, print estimates of memory, time and cost, and exit")
	f.Float64Var(&price, "price", 0, "dry run: price of an hour of this machine")
	return c
}

func estimateTraining(out io.Writer, d *xla.Device, config train.Config, price float64) error {
	config.Output = ""
	t, err := train.Open(d, config)
	if err != nil {
		return err
	}
	defer t.Data.Close()
	e, err := t.Estimate()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "device            %s\n%s", d.Why, e)
	if price > 0 {
		fmt.Fprintf(out, "cost              %.2f at %g an hour\n", price*e.Time().Hours(), price)
	}
	return nil
}

func runTraining(ctx context.Context, out io.Writer, d *xla.Device, config train.Config, resume, restart bool) error {
	t, err := train.Open(d, config)
	if err != nil {
		return err
	}
	defer t.Data.Close()
	t.Message = func(line string) { fmt.Fprintln(out, line) }
	if err := t.Begin(resume, restart); err != nil {
		return err
	}
	if err := printConfig(out, t.Config); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n%s\n%d models of %d parameters\n", d.Why, t.Data.Describe(), len(t.Config.Members()), t.Weights().Count())
	progress, left := notebook.NewProgress("training", t.Left(), "tokens"), t.Left()
	t.Notify = func(s train.Status) {
		progress.Note(s.String())
		progress.Set(left - t.Left())
	}
	if err := t.Run(ctx); err != nil {
		return err
	}
	progress.Done()
	return nil
}

func printConfig(out io.Writer, c train.Config) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		_, err = fmt.Fprintln(out, string(text))
	}
	return err
}
