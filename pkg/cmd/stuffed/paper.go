package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"stuffed/datasets/prompt"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/eval"
	"stuffed/pkg/intervene"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/paper"
	"stuffed/pkg/table"
	"stuffed/xla"
)

func init() { commands = append(commands, matchedCommand, probesCommand) }

// inputModel records a model's files under the name that it was asked for by; a preset has none.
func inputModel(m *manifest.Manifest, dir string) error {
	if models.IsPreset(dir) {
		return nil
	}
	folder, err := models.Folder(dir)
	if err != nil {
		return err
	}
	if folder, err = checkpoint.Folder(folder); err != nil {
		return err
	}
	return m.InputAs(filepath.Base(dir), folder)
}

func matchedCommand() *cobra.Command {
	var lower, raise []string
	var backend, output string
	q := intervene.Matched{Times: 32, Sequences: 8, Heads: 2, Controls: 4, Shifts: []float64{0.1, 0.3, 0.7}}
	c := &cobra.Command{
		Use:   "matched [--lower DIR …] [--raise DIR …] --output M.csv",
		Short: "Change log α of the heads that retain most, and by as much that of other heads",
		Long: `Tests whether the heads that retain most cause the failure beyond T. In models under --lower (that fail) log α of these heads is
lowered, in models under --raise (that hold) it is raised, by --shifts summed over T tokens; as controls the same is done to other
heads of the same layers, each set drawn once. A model of the recall stream reads that stream; any other reads what it fails at under
--lower, one sequence of newlines, and what it holds on under --raise, documents of the test split. One row per model, set and shift: loss and recall inside the window and far beyond
it, the excess with its interval over sequences, the onset, and the growth of the norms of the heads concerned. Models that are in the table
already are not run again.

Columns:
` + table.Help[intervene.Match](),
		Example: "  stuffed matched --lower datasets/models/recall-n128-t64 --raise datasets/models/recall-n128-t256 --output out/matched.csv",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(lower)+len(raise) == 0 {
				return fmt.Errorf("--lower and --raise: name at least one model")
			}
			note, err := manifest.New(q, int64(q.Seed))
			if err != nil {
				return err
			}
			device, err := xla.Open(backend)
			if err != nil {
				return err
			}
			note.Device(device)
			out, have, err := matchedBefore(output)
			if err != nil {
				return err
			}
			for _, side := range []struct {
				direction string
				dirs      []string
			}{{"lower", lower}, {"raise", raise}} {
				for _, dir := range side.dirs {
					if err := inputModel(note, dir); err != nil {
						return err
					}
					if have[side.direction+" "+filepath.Base(dir)] {
						continue
					}
					q.Direction = side.direction
					m, run, err := matchedIn(dir, backend, q)
					if err != nil {
						return fmt.Errorf("%s: %w", dir, err)
					}
					progress := notebook.NewProgress(side.direction+" "+filepath.Base(dir), 0, "runs")
					rows, err := run.Run(c.Context(), m.Bench, filepath.Base(dir), func(done, total int) { progress.Of(int64(done), int64(total)) })
					if err != nil {
						return fmt.Errorf("%s: %w", dir, err)
					}
					progress.Done()
					if err := out.Append(rows); err != nil {
						return err
					}
					if err := out.Write(output); err != nil {
						return err
					}
				}
			}
			return note.Finish(output)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&lower, "lower", nil, "folder of a model in which log α is lowered; repeat")
	f.StringArrayVar(&raise, "raise", nil, "folder of a model in which log α is raised; repeat")
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.IntVar(&q.Times, "times", q.Times, "length of the sequences in training lengths")
	f.IntVar(&q.Sequences, "sequences", q.Sequences, "sequences of the test split")
	f.IntVar(&q.Heads, "heads", q.Heads, "heads that retain most")
	f.IntVar(&q.Controls, "controls", q.Controls, "sets of other heads")
	f.Float64SliceVar(&q.Shifts, "shifts", q.Shifts, "changes of log α, summed over T tokens")
	f.Uint64Var(&q.Seed, "draw-seed", 0, "seed of the control sets")
	f.StringVar(&output, "output", "", "table to write (.csv or .parquet)")
	cobra.CheckErr(c.MarkFlagRequired("output"))
	return c
}

// matchedBefore is the table that an earlier run left, empty without, and the directions and models that it has.
func matchedBefore(path string) (*table.Table, map[string]bool, error) {
	have := map[string]bool{}
	if _, err := os.Stat(path); err != nil {
		return table.New(), have, nil
	}
	t, err := table.Read(path)
	if err != nil {
		return nil, nil, err
	}
	model, err := t.Text("model")
	if err != nil {
		return nil, nil, err
	}
	direction, err := t.Text("direction")
	if err != nil {
		return nil, nil, err
	}
	for i, m := range model {
		have[direction[i]+" "+m] = true
	}
	return t, have, nil
}

// matchedIn opens a model and chooses what it reads.
func matchedIn(dir, backend string, q intervene.Matched) (m intervene.Named, run intervene.Matched, err error) {
	opened, err := models.Open(dir, backend, "")
	if err != nil {
		return m, q, err
	}
	m.Name = filepath.Base(dir)
	if m.Bench, err = intervene.NewBench(opened.Runner); err != nil {
		return m, q, err
	}
	if q.TrainLength, err = models.TrainLength(dir, 0); err != nil {
		return m, q, err
	}
	if q.Stream, err = models.RecallStream(dir, 0); err == nil {
		return m, q, nil
	}
	texts := prompt.Texts{Kind: "documents", Split: "test", Length: q.Times * q.TrainLength, Count: q.Sequences}
	if q.Direction == "lower" {
		texts.Kind = "newlines"
	}
	probes, err := eval.Probes(opened, texts)
	for _, p := range probes {
		q.Texts = append(q.Texts, p.IDs)
	}
	return m, q, err
}

func probesCommand() *cobra.Command {
	p := paper.Probes{Times: 64, Sequences: 8, Keep: "out/trace"}
	var output string
	c := &cobra.Command{
		Use:   "probes --model DIR [--model DIR …] --output DIR",
		Short: "Read several prompts far beyond T and look for drift in Δ, B, x and the convolution state",
		Long: `Writes two tables for trained models.

prompts.csv: loss within the window and far beyond it on the kind of text that the model was trained on, and on constant tokens, shuffled
and repeated text, with the verdict on states and losses.
` + table.Help[paper.PromptRow]() + `

components.csv: Δ, the norms of B, x and the write, and of the convolution state, far beyond T over those within, by head.
` + table.Help[paper.ComponentRow](),
		Example: "  stuffed probes --model datasets/models/text-t64 --output out/probes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			note, err := manifest.New([]any{p.Times, p.Sequences})
			if err != nil {
				return err
			}
			for _, dir := range p.Models {
				if err := inputModel(note, dir); err != nil {
					return err
				}
			}
			p.Progress = func(label string) func(done, total int64) { return notebook.NewProgress(label, 0, "tokens").Of }
			prompts, components, err := p.Run(c.Context())
			if err != nil {
				return err
			}
			if err := prompts.Write(filepath.Join(output, "prompts.csv")); err != nil {
				return err
			}
			path := filepath.Join(output, "components.csv")
			if err := components.Write(path); err != nil {
				return err
			}
			return note.Finish(path)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&p.Models, "model", nil, "folder of a model of text or of the recall stream; repeat")
	f.StringVar(&p.Backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.IntVar(&p.Times, "times", p.Times, "length of the sequences in training lengths")
	f.IntVar(&p.Sequences, "sequences", p.Sequences, "sequences of prompts that differ from one to the next")
	f.StringVar(&p.Keep, "keep", p.Keep, "folder in which traces are kept")
	f.StringVar(&output, "output", "", "folder of the tables")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
