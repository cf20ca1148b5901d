package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"stuffed/pkg/study"
)

func studySubmit(open opener) *cobra.Command {
	var backend, array string
	var dry, retry, fast bool
	var workers int
	j := &study.Job{}
	c := &cobra.Command{
		Use: "submit PLAN", Short: "Submit the unfinished rows to Slurm", Args: cobra.ExactArgs(1),
		Long: `Writes and submits a job script whose array tasks all work on the rows of one store, which must be on a file system that the
nodes share. A task takes one row after the other until none is left, so rows may be many and small. Before its time is up
(--warn) or when it is told to stop it hands its row back and is queued again, at most --restarts times. Submitting again, also
while tasks run, adds workers and runs no row twice; --retry makes rows that failed open again first. "stuffed study status PLAN"
shows rows and jobs; how much device memory a worker takes is said before. Without Slurm, "stuffed study run PLAN --workers N" does the same on this machine.`,
		Example: `  stuffed study submit recall-table --partition gpu --array 8%4 --gpus 1 --time 2:00:00 --dry-run
  stuffed study submit recall-table --partition gpu --array 8%4 --gpus 1 --time 2:00:00 --sbatch --account=mine`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := j.ParseArray(array); err != nil {
				return err
			}
			p, s, rows, err := open(args[0])
			if err != nil {
				return err
			}
			if retry && !dry {
				n, err := s.Forgive(rows)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%d rows that had failed are open again\n", n)
			}
			status, err := s.Status(rows)
			if err != nil {
				return err
			}
			left, failed := 0, 0
			for _, r := range status {
				switch r.State {
				case "open", "running":
					left++
				case "failed":
					failed++
				}
			}
			if left == 0 {
				if failed > 0 {
					return fmt.Errorf("%d rows have failed and none is open; see stuffed study status, and submit with --retry after the cause is gone", failed)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "no row is left: nothing was submitted")
				return nil
			}
			if j.Tasks > left {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d rows are left: %d tasks, not %d\n", left, left, j.Tasks)
				j.Tasks = left
			}
			if err := fillJob(j, p, s, args[0]); err != nil {
				return err
			}
			if workers == 0 {
				workers = max(1, j.GPUs)
			}
			if j.GPUs > 0 && backend == "auto" {
				backend = "cuda"
			}
			if text := study.Share(study.Largest(status, kindOf(backend)), 0, 0); text != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s; a task has %d on %d GPUs\n", text, workers, j.GPUs)
			}
			j.Command = append(j.Command, "--workers", fmt.Sprint(workers), "--backend", backend, fmt.Sprint("--fast=", fast))
			if dry {
				if err := j.Validate(); err != nil {
					return err
				}
				fmt.Fprint(cmd.OutOrStdout(), j.Script())
				return nil
			}
			id, err := s.Submit(cmd.Context(), j)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s: %d tasks for %d rows; logs in %s\n", id, j.Tasks, left, j.Log)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&j.Partition, "partition", "", "of the cluster (default its own)")
	f.StringVar(&array, "array", "1", "tasks, and how many may run at once: 8%4")
	f.IntVar(&j.GPUs, "gpus", 0, "GPUs of a task")
	f.IntVar(&j.CPUs, "cpus", 0, "processors of a task")
	f.StringVar(&j.Memory, "mem", "", "memory of a task, such as 32G")
	f.StringVar(&j.Time, "time", "1:00:00", "of a task")
	f.IntVar(&j.Warn, "warn", 120, "seconds before the end of its time at which a task stops")
	f.IntVar(&j.Restarts, "restarts", 20, "of a task, at most")
	f.StringArrayVar(&j.Extra, "sbatch", nil, "a further option of sbatch, such as --account=mine; may be repeated")
	f.IntVar(&workers, "workers", 0, "processes of a task side by side (default one for each GPU)")
	f.StringVar(&backend, "backend", "auto", "auto (cuda where a task has GPUs), cuda, cpu, go or a GoMLX string")
	f.BoolVar(&retry, "retry", false, "also retry rows that failed before")
	f.BoolVar(&fast, "fast", false, "TF32 for float32 products on CUDA")
	f.BoolVar(&dry, "dry-run", false, "print the job script only")
	return c
}

// fillJob says where the job runs and what: the same program, plan and store, by absolute paths.
func fillJob(j *study.Job, p *study.Plan, s *study.Store, plan string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if j.Dir, err = os.Getwd(); err != nil {
		return err
	}
	store, err := filepath.Abs(s.Dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(plan); err == nil && !info.IsDir() { // a folder of a shipped plan's name hides nothing
		if plan, err = filepath.Abs(plan); err != nil {
			return err
		}
	}
	j.Name, j.Log = "stuffed-"+p.Name, filepath.Join(store, "jobs")
	j.Command = []string{program, "study", "run", plan, "--store", store}
	return nil
}
