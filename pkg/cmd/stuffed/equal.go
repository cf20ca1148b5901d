package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/intervene"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
)

// equalFlags choose the models that are set side by side.
type equalFlags struct {
	dirs                         []string
	transformer, backend, length string
	inside, sequences            int
	domains                      []string
}

func memoryEqual() *cobra.Command {
	var e equalFlags
	var output string
	c := &cobra.Command{
		Annotations: map[string]string{savesAtTheEnd: "yes"},
		Use:         "equal --model DIR [--model DIR …] --transformer DIR --output E.csv",
		Short:       "Recurrent models beside a transformer with a cache of the same bytes",
		Long: `Reads documents of the shipped corpus that no model was trained on: with each recurrent model as it is, with the transformer whose layers
see only as many of the last tokens as fit into the bytes that the recurrent model carries (4 bytes a number), and with its whole cache.

Columns:
` + table.Help[intervene.EqualRow](),
		Example: `  stuffed memory equal --model datasets/models/bytes-mamba2 --model datasets/models/bytes-gla --transformer datasets/models/bytes-llama --output out/equal.csv`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return e.run(c.Context(), output) },
	}
	f := c.Flags()
	f.StringArrayVar(&e.dirs, "model", nil, "folder of a recurrent model of text; repeat")
	f.StringVar(&e.transformer, "transformer", "", "folder of a transformer with the same tokens")
	f.StringVar(&e.backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.StringVar(&e.length, "length", "1024", "tokens of a document")
	f.IntVar(&e.sequences, "sequences", 16, "documents")
	f.IntVar(&e.inside, "train-length", 0, "training length T in tokens (0: what the transformer's training.json says)")
	f.StringSliceVar(&e.domains, "domain", []string{"prose"}, "domains of the corpus")
	f.StringVar(&output, "output", "", "table to write (.csv or .parquet)")
	for _, name := range []string{"model", "transformer", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func (e equalFlags) run(ctx context.Context, output string) error {
	length, err := prompt.ParseLength(e.length)
	if err != nil {
		return err
	}
	if e.inside == 0 {
		if e.inside, err = models.TrainLength(e.transformer, 128); err != nil {
			return err
		}
	}
	all := append(append([]string{}, e.dirs...), e.transformer)
	named, err := intervene.Open(all, e.backend, 0)
	if err != nil {
		return err
	}
	note, err := manifest.New([]any{"equal memory", e.length, e.sequences, e.inside, e.domains})
	if err != nil {
		return err
	}
	if err := note.Start(output); err != nil {
		return err
	}
	note.Device(named[0].Runner.Device)
	for _, dir := range all {
		if err := inputModel(note, dir); err != nil {
			return err
		}
	}
	m, err := models.Open(e.transformer, "go", "")
	if err != nil {
		return err
	}
	probes, err := eval.Probes(m, prompt.Texts{Kind: "documents", Split: "test", Domains: e.domains, Length: length, Count: e.sequences})
	if err != nil {
		return fmt.Errorf("documents: %w", err)
	}
	last := len(named) - 1
	w, former, err := table.Resume(output, table.Of[intervene.EqualRow](nil))
	if err != nil {
		return err
	}
	defer w.Abort()
	progress := notebook.NewProgress("equal memory", 0, "rows")
	equal := intervene.Equal{Probes: probes, Inside: e.inside, Bytes: 4, Progress: progress.Of}
	done, err := table.Rows[intervene.EqualRow](former)
	if err != nil {
		return err
	}
	put := func(one intervene.EqualRow) error { return w.Append(table.Of([]intervene.EqualRow{one})) }
	if err := equal.Each(ctx, named[:last], named[last], done, put); err != nil {
		return err
	}
	progress.Done()
	if err := w.Close(); err != nil {
		return err
	}
	if err := note.Finish(output); err != nil {
		return err
	}
	rows, err := table.Read(output)
	if err != nil {
		return err
	}
	return notebook.Table(rows, map[string]string{"window": "tokens", "inside": "nats", "far": "nats"})
}
