package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/longtext"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

func init() { commands = append(commands, taskCommand) }

func taskCommand() *cobra.Command {
	c := &cobra.Command{Use: "task", Short: "Tasks that measure what a model remembers"}
	c.AddCommand(taskList(), taskWrite(), taskRun(), taskAsk(), taskNoise(), taskChannels(), taskRank(), taskScore())
	return c
}

func taskList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List all tasks and their params", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return listTasks(c.OutOrStdout(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func listTasks(out io.Writer, asJSON bool) error {
	type param struct {
		Name    string `json:"name"`
		Default string `json:"default"`
		About   string `json:"about"`
	}
	type kind struct {
		Name    string  `json:"name"`
		Version string  `json:"version"`
		About   string  `json:"about"`
		Text    bool    `json:"text"`
		Params  []param `json:"params"`
	}
	var all []kind
	for _, k := range task.Kinds() {
		one := kind{Name: k.Name, Version: k.Version, About: k.About, Text: k.Text}
		for _, p := range k.Params() {
			one.Params = append(one.Params, param(p))
		}
		all = append(all, one)
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(all)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range all {
		fmt.Fprintf(w, "%s\t%s\n", k.Name, k.About)
		for _, p := range k.Params {
			value := p.Default
			if value == "" {
				value = `""`
			}
			fmt.Fprintf(w, "  %s=%s\t%s\n", p.Name, value, p.About)
		}
	}
	return w.Flush()
}

// taskFlags choose a task.
type taskFlags struct {
	name, length string
	settings     []string
	seed         int64
	count        int
}

func (t *taskFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.name, "task", "", "name of the task; stuffed task list shows them")
	f.StringVar(&t.length, "length", "", "tokens of a sequence, such as 512 or 64K")
	f.IntVar(&t.count, "count", 100, "sequences")
	f.Int64Var(&t.seed, "seed", 0, "seed of the sequences")
	f.StringArrayVar(&t.settings, "set", nil, "param of the task as key=value, any number of times")
	for _, name := range []string{"task", "length"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
}

// open prepares the task; more settings may follow the flags.
func (t *taskFlags) open(more []string, enc datasets.Encoder) (*task.Task, error) {
	length, err := prompt.ParseLength(t.length)
	if err != nil {
		return nil, err
	}
	if t.count < 1 {
		return nil, fmt.Errorf("count is %d, want 1 or more", t.count)
	}
	params, err := task.ParseParams(append(t.settings, more...))
	if err != nil {
		return nil, err
	}
	return task.Open(t.name, length, params, enc)
}

// encoder is the model's, nil for tasks that are made of ids.
func (t *taskFlags) encoder(model *models.Opened) (datasets.Encoder, error) {
	if !task.Textual(t.name) {
		return nil, nil
	}
	return model.Encoder()
}

func taskWrite() *cobra.Command {
	var t taskFlags
	var output, tokens string
	var first int64
	c := &cobra.Command{
		Use:   "write --task NAME --length N --count K --seed S [--set key=value …] --output T.jsonl",
		Short: "Write sequences of a task as JSON lines",
		Long: `Writes one JSON object per line: ids (exactly --length of them), answer_positions (after reading ids up to there, the model
has to say the answer), answer_ids, group, task, version, params, and for tasks made of text also text (what the ids stand for, the
answer with it), answer and answers (its parts). A sequence depends on seed, index, length and params alone.`,
		Example: `  stuffed task write --task mqar --length 256 --count 1000 --set pairs=32 --output out/mqar.jsonl
  stuffed task write --task niah-multikey-1 --length 4096 --count 100 --tokenizer .cache/20B_tokenizer.json --output out/niah.jsonl`,
		RunE: func(_ *cobra.Command, more []string) error {
			if output == "" {
				return errors.New("task write: no --output given")
			}
			enc, err := openTokenizer(tokens)
			if err != nil {
				return err
			}
			made, err := t.open(more, enc)
			if err != nil {
				return err
			}
			return made.Write(output, t.seed, first, t.count)
		},
	}
	t.add(c)
	c.Flags().StringVar(&tokens, "tokenizer", "bytes", "of tasks made of text: bytes, or the path of a tokenizer.json")
	c.Flags().Int64Var(&first, "first", 0, "index of the first sequence")
	c.Flags().StringVar(&output, "output", "", "file to write (.jsonl)")
	return c
}

func taskRun() *cobra.Command {
	var t taskFlags
	var m modelFlags
	var test task.Test
	var under underFlags
	var output string
	c := &cobra.Command{
		Annotations: map[string]string{savesAtTheEnd: "yes"},
		Use:         "run --model DIR --task NAME --length N --count K [--set key=value …] --output R.parquet",
		Short:       "Ask a model the questions of a task",
		Long: `Writes one row per sequence and prints the means by length and group.
Lengths and values of params may be lists (--length 64,256 --set pairs=4,8,16): every combination that fits is asked. Sequences
are those that stuffed task write makes with the same seed.

With --plan the model answers under a plan of interventions. With --mitigate the table has the means under each mitigation instead, with the
columns method and parameters in front; parameters are chosen by the loss of the answers on other sequences of the same tasks. Mitigations
that do not apply to an architecture are named and left out.

Columns:
` + table.Help[task.Row]() + `

Columns with --mitigate, after method and parameters:
` + table.Help[task.SummaryRow](),
		Example: `  stuffed task run --model out/my-model --task mqar --length 256 --set pairs=4,8,16,32 --count 200 --output out/mqar.parquet
  stuffed task run --model out/my-model --task passkey --length 1K:8K:1K --count 200 --write --output out/passkey.parquet
  stuffed task run --model datasets/models/recall-n128-t64 --task recall-list --length 64,512 --set pairs=8,16 --mitigate all --output out/mitigated.csv`,
		RunE: func(c *cobra.Command, more []string) error {
			return runTask(c.Context(), m, t, append(t.settings, more...), test, under, output)
		},
	}
	m.add(c.Flags())
	m.addDevices(c.Flags())
	t.add(c)
	f := c.Flags()
	under.add(f)
	f.BoolVar(&test.Generate, "write", false, "also let the model write the answers that are one piece at the end")
	f.IntVar(&test.Batch, "batch", 0, "sequences that run side by side (0: to choose)")
	f.StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func runTask(ctx context.Context, m modelFlags, t taskFlags, settings []string, test task.Test, under underFlags, output string) error {
	lengths, err := prompt.ParseLengths(t.length)
	if err != nil {
		return err
	}
	model, err := m.open()
	if err != nil {
		return err
	}
	enc, err := t.encoder(model)
	if err != nil {
		return err
	}
	if test.Tasks, err = task.Sweep(t.name, lengths, settings, enc); err != nil {
		return err
	}
	test.Count, test.Seed = t.count, t.seed
	progress := notebook.NewProgress("task "+t.name, 0, "tokens")
	test.Progress = progress.Of
	var sum *table.Table
	if under.used() {
		if under.plan == "" {
			test.Progress = nil // methods are counted
		}
		sum, err = under.write(ctx, model, test, output)
	} else if sum, err = eval.TaskFile(ctx, model, test, output); err == nil {
		progress.Done()
		sum, err = task.Summary(sum)
	}
	if err != nil {
		return err
	}
	return notebook.Table(sum.Without("member"), map[string]string{"length": "tokens", "loss": "nats"})
}

// taskAsk puts the questions of a published benchmark's file to a model.
func taskAsk() *cobra.Command {
	var m modelFlags
	var q eval.LongText
	var input, format, name, length, output string
	c := &cobra.Command{
		Use:   "ask --model DIR --input FILE --format FORMAT --output R.parquet",
		Short: "Ask a model the questions of a published benchmark of long texts",
		Long: `Reads a file as its authors distribute it, lets the model continue after context and question, and scores what it wrote as their
program does. Where a prompt is longer than --length tokens, its middle is left out. Models of the size that this program trains are
at the floor of these tasks.

Columns:
` + table.Help[eval.LongTextRow](),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if q.Length, err = prompt.ParseLength(length); err != nil {
				return err
			}
			items, err := longtext.Read(input, format, name)
			if err != nil {
				return err
			}
			model, err := m.open()
			if err != nil {
				return err
			}
			rows, err := eval.LongTextFile(c.Context(), model, items, input, q, output)
			if err != nil {
				return err
			}
			scores, err := rows.Float("score")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d items, score %.4f\n", len(scores), longtext.Mean(items, scores))
			return err
		},
	}
	m.add(c.Flags())
	f := c.Flags()
	f.StringVar(&input, "input", "", "file of the benchmark (JSON lines)")
	f.StringVar(&format, "format", "", strings.Join(longtext.Formats(), ", "))
	f.StringVar(&name, "name", "", "task within the benchmark (default: the file's name)")
	f.StringVar(&length, "length", "32K", "tokens of a prompt at most")
	f.IntVar(&q.Generate, "generate", 64, "tokens that the model writes")
	f.StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	for _, name := range []string{"model", "input", "format", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

func taskScore() *cobra.Command {
	var input, answers, format, name string
	c := &cobra.Command{
		Use:   "score --input T.jsonl --answers A.jsonl",
		Short: "Score a file of answers",
		Long: `Reads one answer per record, {"answer_ids": [1, 2, …]} or {"text": "…"}, and prints records, accuracy and exact over all, by task
and by group as JSON. Accuracy is the share of right ids, or of the parts of the answer that the text contains, whatever their
case; exact is the share of records that are right as a whole.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s any
			var err error
			if format == "" {
				s, err = task.ScoreFiles(input, answers)
			} else {
				s, err = longtext.ScoreFiles(input, format, name, answers)
			}
			if err != nil {
				return err
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(s)
		},
	}
	c.Flags().StringVar(&format, "format", "", "of a published benchmark's file instead: "+strings.Join(longtext.Formats(), ", ")+"; scored as its program does")
	c.Flags().StringVar(&name, "name", "", "with --format: the task within the benchmark (default: the file's name)")
	c.Flags().StringVar(&input, "input", "", "records, as stuffed task write makes them")
	c.Flags().StringVar(&answers, "answers", "", "answers, one line per record")
	for _, name := range []string{"input", "answers"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}
