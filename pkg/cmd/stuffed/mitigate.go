package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stuffed/datasets"
	"stuffed/pkg/intervene"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, mitigateCommand) }

// suiteFlags choose models of one shape of task and the recall stream that judges them.
type suiteFlags struct {
	dirs    []string
	backend string
	piece   int
	suite   intervene.Suite

	// mitigate alone
	input, tokenizer string
}

func (s *suiteFlags) add(f *pflag.FlagSet) {
	s.suite = intervene.Suite{Split: "test", Stream: datasets.NewRecallStream(32, 0)}
	f.StringArrayVar(&s.dirs, "model", nil, "folder of a model trained on the recall stream; repeat for several seeds")
	f.StringVar(&s.backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string such as xla:cuda,tf32=false")
	f.IntVar(&s.piece, "piece", 512, "tokens that go through the device at once")
	f.IntVar(&s.suite.TrainLength, "train-length", 64, "training length T in tokens")
	f.IntVar(&s.suite.Stream.Gap, "gap", 32, "pairs between a pair and its repeat, at most")
	f.IntVar(&s.suite.Stream.Keys, "keys", 3840, "keys of the stream; the ids 0 … keys-1")
	f.IntVar(&s.suite.Stream.Values, "values", 256, "values of the stream")
	f.Int64Var(&s.suite.Stream.Seed, "seed", 0, "seed of the stream; sequences are held out from training")
	f.IntSliceVar(&s.suite.Multiples, "multiples", []int{1, 4, 16, 64}, "where the loss is taken, in training lengths: the half window before")
	f.IntVar(&s.suite.Sequences, "sequences", 16, "sequences of the test split")
}

// note begins the manifest of a result.
func (s *suiteFlags) note(all []intervene.Named, output string, options any, inputs ...string) (*manifest.Manifest, error) {
	if err := table.CheckPath(output); err != nil {
		return nil, err
	}
	out, err := manifest.New([]any{options, s.suite}, s.suite.Stream.Seed)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range all {
		names = append(names, m.Name+" "+m.Model.Hash())
	}
	out.Model = strings.Join(names, ", ")
	out.Device(all[0].Runner.Device)
	for _, dir := range s.dirs {
		if err := inputModel(out, dir); err != nil {
			return nil, err
		}
	}
	for _, path := range inputs {
		if err := out.Input(path); err != nil {
			return nil, err
		}
	}
	return out, out.Start(output)
}

func mitigateCommand() *cobra.Command {
	var s suiteFlags
	c := intervene.Compare{}
	var output, sweeps, summary string
	cmd := &cobra.Command{
		Use:   "mitigate --model DIR [--model DIR …] --output M.parquet",
		Short: "Compare mitigations of state collapse on loss, recall, cost and speed",
		Long: `Runs every mitigation on the recall stream: loss and recall in the half window before each multiple of T, recall of pairs inside
and outside a window of T tokens, growth of the states, speed. Parameters are chosen on the selection split (--sweep keeps all
that were tried) and results are reported on the test split; factors of layers are fitted on the calibration split. An interrupted run
continues with the method it was at.

With --input, all of that on your own text in the model's own tokens, whatever it was trained on: the first quarter of the text
calibrates, the second selects, the second half tests; loss and recall (share of tokens that were the most likely) are those of all
tokens, and T is what the model's training.json says where --train-length is not given.

` + strings.Join(intervene.Families(), "\n") + `

Columns:
` + table.Help[intervene.Result]() + `

Columns of --sweep:
` + table.Help[intervene.Tried]() + `

Columns of --summary:
` + table.Help[intervene.Mean](),
		Example: `  stuffed mitigate --model datasets/models/recall-n128-t64 --backend cpu --sequences 8 --output out/mitigate.parquet
  stuffed mitigate --model out/my-model --input notes.txt --multiples 1,4 --sequences 4 --methods rri,window --output out/own.csv
  stuffed mitigate --model out/s0 --model out/s1 --model out/s2 --methods rri,window --sweep out/sweep.csv --summary out/summary.csv --output out/m.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.input != "" {
				if err := s.ownText(!cmd.Flags().Changed("train-length")); err != nil {
					return err
				}
			}
			c.Suite = s.suite
			return runMitigate(cmd.Context(), s, c, output, sweeps, summary)
		},
	}
	f := cmd.Flags()
	s.add(f)
	f.StringVar(&s.input, "input", "", "own text instead of the recall stream: a .txt or .jsonl file or a folder of such")
	f.StringVar(&s.tokenizer, "tokenizer", "", "--input: bytes, or the path of a tokenizer's file or folder (default: the first model's own)")
	f.StringSliceVar(&c.Methods, "methods", intervene.FamilyNames(), "mitigations, by name")
	f.IntVar(&c.Choosing, "choosing", 4, "sequences of the selection split")
	f.BoolVar(&s.suite.Wide, "wide", true, "also recall inside and outside the window")
	f.StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	f.StringVar(&sweeps, "sweep", "", "also write the losses of all parameters tried (.parquet or .csv)")
	f.StringVar(&summary, "summary", "", "also write the means over the models (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

// ownText puts a text in the place of the recall stream, and the model's own training length in that of the flag's default.
func (s *suiteFlags) ownText(own bool) error {
	if len(s.dirs) == 0 {
		return errors.New("--model: give one")
	}
	m, err := models.Open(s.dirs[0], "go", s.tokenizer)
	if err != nil {
		return err
	}
	enc, err := m.Encoder()
	if err != nil {
		return err
	}
	if own {
		if s.suite.TrainLength, err = models.TrainLength(m.Dir, s.suite.TrainLength); err != nil {
			return err
		}
	}
	s.suite.Wide = false
	s.suite.Text, err = intervene.ReadText(filepath.Base(s.input), s.input, enc)
	return err
}

func runMitigate(ctx context.Context, s suiteFlags, c intervene.Compare, output, sweeps, summary string) error {
	all, err := intervene.Open(s.dirs, s.backend, s.piece)
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := c.Validate(m.Model.Vocab()); err != nil {
			return err
		}
	}
	var inputs []string
	if s.input != "" {
		inputs = append(inputs, s.input)
	}
	note, err := s.note(all, output, []any{c.Methods, c.Choosing}, inputs...)
	if err != nil {
		return err
	}
	progress := notebook.NewProgress("mitigate", 0, "runs")
	if err := c.Write(ctx, all, output, sweeps, func(done, total int) { progress.Of(int64(done), int64(total)) }); err != nil {
		return err
	}
	progress.Done()
	var others []string
	if sweeps != "" {
		others = append(others, sweeps)
	}
	if summary != "" {
		results, err := table.Read(output)
		if err != nil {
			return err
		}
		means, err := intervene.Summary(results)
		if err != nil {
			return err
		}
		if err := means.Write(summary); err != nil {
			return err
		}
		others = append(others, summary)
	}
	return note.Finish(output, others...)
}
