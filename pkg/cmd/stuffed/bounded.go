package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/intervene"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
	"stuffed/pkg/train"
)

func init() { commands = append(commands, boundedCommand) }

// boundedTexts say what a model of text reads in a run of intervene.Bounded.
type boundedTexts struct {
	Data   train.DataConfig   `json:"data"`
	Prompt study.PromptConfig `json:"prompt"`
	Length int                `json:"length"`
}

func boundedCommand() *cobra.Command {
	q := intervene.Bounded{Doses: []float64{0.3, 1, 3}, Heads: 2, Controls: 4}
	texts := boundedTexts{Data: train.DefaultConfig().Data, Length: 65536,
		Prompt: study.PromptConfig{Kinds: []string{"newlines"}, Split: "test", Sequences: 8, Lead: 64}}
	texts.Data.Kind, texts.Data.Tokenizer = "corpus", "bytes"
	var dirs []string
	var backend, output string
	var piece int
	c := &cobra.Command{
		Use:   "bounded --model DIR [--model DIR …] --corpus NAME --output B.csv",
		Short: "Bound α of the heads whose states grow most on a prompt, and by as much that of other heads",
		Long: `Tests whether the heads whose states grow most beyond the training length cause the loss to rise there, on prompts of text. Every head
of a set gets an upper bound of α of its own, at which Σ log α over T tokens of the prompt falls by the dose; control sets are other heads
of the same layers, bounded by as much. One row per model, set and dose. The training length T is read from each model's training.json. An
interrupted run continues where it stopped.

Columns:
` + table.Help[intervene.Bound](),
		Example: "  stuffed bounded --model datasets/models/text-law-n128-t256 --corpus linux --sequences 4 --output out/bounded.csv",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			note, err := manifest.New([]any{q, texts}, int64(q.Seed))
			if err != nil {
				return err
			}
			all, err := intervene.Open(dirs, backend, piece)
			if err != nil {
				return err
			}
			note.Device(all[0].Runner.Device)
			if err := note.Start(output); err != nil {
				return err
			}
			for i, m := range all {
				if err := inputModel(note, dirs[i]); err != nil {
					return err
				}
				run := q
				if run.TrainLength, err = models.TrainLength(dirs[i], 0); err != nil {
					return err
				}
				read, err := texts.open(run.TrainLength)
				if err != nil {
					return err
				}
				progress := notebook.NewProgress("bounded "+m.Name, 0, "runs")
				if err := run.Write(c.Context(), m, read, output, func(done, total int) { progress.Of(int64(done), int64(total)) }); err != nil {
					return err
				}
				progress.Done()
			}
			return note.Finish(output)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&dirs, "model", nil, "folder of a model of text; repeat")
	f.StringVar(&texts.Data.Path, "corpus", "", "corpus from which beginnings of documents are taken: a file, a folder, or linux")
	f.StringVar(&texts.Prompt.Kinds[0], "kind", "newlines", "prompt: newlines, constant:ID, repeated, shuffled or documents")
	f.StringVar(&texts.Prompt.Split, "split", texts.Prompt.Split, "of the corpus: test or valid")
	f.IntVar(&texts.Prompt.Sequences, "sequences", texts.Prompt.Sequences, "sequences; the first is the bare prompt, the others follow a beginning of a document")
	f.IntVar(&texts.Prompt.Lead, "lead", texts.Prompt.Lead, "tokens of that beginning")
	f.IntVar(&texts.Length, "length", texts.Length, "tokens of a sequence")
	f.IntVar(&q.Heads, "heads", q.Heads, "heads that grow most")
	f.IntVar(&q.Controls, "controls", q.Controls, "sets of other heads")
	f.Float64SliceVar(&q.Doses, "doses", q.Doses, "falls of log α, summed over T tokens")
	f.Uint64Var(&q.Seed, "draw-seed", 0, "seed of the control sets")
	f.StringVar(&backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string")
	f.IntVar(&piece, "piece", 0, "tokens read at once (0: the usual number)")
	f.StringVar(&output, "output", "", "table to write (.csv or .parquet)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

// open makes the prompts and documents for a training length.
func (b boundedTexts) open(trainLength int) (t intervene.Texts, err error) {
	data, err := train.OpenData(b.Data)
	if err != nil {
		return t, err
	}
	defer data.Close()
	splits, has := data.(train.Splits)
	if !has {
		return t, fmt.Errorf("%s has no documents of split %s", data.Describe(), b.Prompt.Split)
	}
	if t.Documents, err = splits.Beginnings(b.Prompt.Split, b.Prompt.Sequences, max(b.Length, trainLength+1)); err != nil {
		return t, err
	}
	if len(t.Documents) < b.Prompt.Sequences {
		return t, fmt.Errorf("split %s has %d documents of %d tokens, %d are asked for", b.Prompt.Split, len(t.Documents), b.Length, b.Prompt.Sequences)
	}
	t.Prompts, err = b.Prompt.Prompts(b.Prompt.Kinds[0], splits.Encoder(), t.Documents, b.Length)
	return t, err
}
