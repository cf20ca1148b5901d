package main

import (
	"github.com/spf13/cobra"

	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

func studyRead() *cobra.Command {
	r := study.Reading{Prompts: study.PromptConfig{Kinds: []string{"newlines", "documents"}, Split: "test", Sequences: 7, Lead: 64}, Length: 8192}
	var dirs []string
	var backend, output string
	c := &cobra.Command{
		Use: "read --model DIR [--model DIR …] --output L.csv", Short: "Read prompts with models of text and write the losses that decide whether they fail", Args: cobra.NoArgs,
		Long: `Reads prompts of the corpus that each model was trained on, by its training.json, as the studies of text do: of constant and repeated
prompts the first sequence is bare, the others follow the beginning of a document.

Columns:
` + table.Help[study.ReadRow](),
		Example: "  stuffed study read --model datasets/models/bytes/mamba2 --model out/again/mamba2 --output out/read.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := table.CheckPath(output); err != nil {
				return err
			}
			note, err := manifest.New(r)
			if err != nil {
				return err
			}
			all, err := models.OpenAll(dirs, backend, "bytes")
			if err != nil {
				return err
			}
			note.Device(all[0].Device)
			if err := note.Start(output); err != nil {
				return err
			}
			progress, rows := notebook.NewProgress("read", int64(len(dirs)), "models"), []study.ReadRow(nil)
			for i, m := range all {
				if err := inputModel(note, dirs[i]); err != nil {
					return err
				}
				more, err := r.Read(cmd.Context(), dirs[i], m.Runner)
				if err != nil {
					return err
				}
				rows = append(rows, more...)
				progress.Of(int64(i+1), int64(len(dirs)))
			}
			progress.Done()
			if err := table.Of(rows).Write(output); err != nil {
				return err
			}
			return note.Finish(output)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&dirs, "model", nil, "folder of a model of text with its training.json; repeat")
	f.StringSliceVar(&r.Prompts.Kinds, "kinds", r.Prompts.Kinds, "kinds of prompt: documents, shuffled, repeated, newlines, constant:ID")
	f.StringVar(&r.Prompts.Split, "split", r.Prompts.Split, "of the corpus: test or valid")
	f.IntVar(&r.Prompts.Sequences, "sequences", r.Prompts.Sequences, "sequences of a kind")
	f.IntVar(&r.Prompts.Lead, "lead", r.Prompts.Lead, "tokens of the beginning of a document")
	f.IntVar(&r.Length, "length", r.Length, "tokens of a sequence")
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.StringVar(&output, "output", "", "table to write (.csv or .parquet)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
