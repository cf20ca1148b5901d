package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"stuffed/pkg/eval"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/paper"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, memoryCommand) }

func memoryCommand() *cobra.Command {
	q := paper.Memory{Times: 32, Sequences: 8}
	var dirs []string
	var backend, output string
	c := &cobra.Command{
		Use:   "memory --model DIR [--model DIR …] --output DIR",
		Short: "What models make of tokens older than their training length",
		Long: `Reads the recall stream that a model was trained on, or documents of the shipped corpus, and writes five tables. Each begins with
the columns model and train_length. Models that are in the tables already are not run again.

oracle.csv: loss by octaves of the position beyond the training length T, beside that of an oracle of short memory, the same model that
has read only the last ½T … T tokens. On the recall stream, only values of repeated pairs count.
` + table.Help[eval.Gap]() + `

slopes.csv: slope of the loss with each doubling of the position beyond T, in nats.
  slope, slope_low, slope_high

remembrance.csv: effective remembrance (EffRem, arXiv 2507.02782).
` + table.Help[eval.Remembrance]() + `
  times     start / T
  read      tokens read / T

states.csv: how far the states beyond T lie from those within, by head and octave.
` + table.Help[eval.Covered]() + `

coherence.csv: how much of a head's growth is filling up.
` + table.Help[eval.HeadCoherence](),
		Example: "  stuffed memory --model datasets/models/recall-n128-t64 --model datasets/models/text-t64 --output out/memory",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			note, err := manifest.New(q)
			if err != nil {
				return err
			}
			if err := note.Start(filepath.Join(output, "oracle.csv")); err != nil {
				return err
			}
			found, have, err := paper.ReadMemory(output)
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				if err := inputModel(note, dir); err != nil {
					return err
				}
				m, err := models.Open(dir, backend, "")
				if err != nil {
					return err
				}
				note.Device(m.Runner.Device)
				if have[filepath.Base(dir)] {
					continue
				}
				if err := q.Add(c.Context(), m, dir, found); err != nil {
					return fmt.Errorf("%s: %w", dir, err)
				}
				for name, t := range found.ByName() {
					if err := t.Write(filepath.Join(output, name+".csv")); err != nil {
						return err
					}
				}
			}
			var others []string
			for name := range found.ByName() {
				if name != "oracle" {
					others = append(others, filepath.Join(output, name+".csv"))
				}
			}
			return note.Finish(filepath.Join(output, "oracle.csv"), others...)
		},
	}
	c.AddCommand(memoryEqual())
	f := c.Flags()
	f.StringArrayVar(&dirs, "model", nil, "folder of a model of text or of the recall stream; repeat")
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.IntVar(&q.Times, "times", q.Times, "length of the sequences in training lengths")
	f.IntVar(&q.Sequences, "sequences", q.Sequences, "sequences")
	f.StringVar(&output, "output", "", "folder of the tables")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
