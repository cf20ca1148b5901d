package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/datasets/prompt"
	"stuffed/pkg/atomic"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
)

func init() { commands = append(commands, passkeyCommand) }

// passkeyOptions are the flags of both forms of the command.
type passkeyOptions struct {
	promptsOnly     bool
	model           modelFlags
	test            eval.Passkey
	lengths, depths string
	length          int
	output          string
}

func passkeyCommand() *cobra.Command {
	var o passkeyOptions
	c := &cobra.Command{
		Use:   "passkey",
		Short: "Ask a model for passkeys by depth and length, or write the prompts",
		Long: `Hides a key at chosen depths of texts that say nothing, and asks for it.

With --model, the model answers: one row per prompt. An interrupted run resumes where it stopped, and a grid can be extended with more lengths, depths or trials.
T_recall, the longest length with 95 % exact, is printed at the end.

With --prompts-only, the prompts of one --length are written as JSON lines and no model is run. A record has text, ids, answer,
answer_ids (with the space that follows the prompt), depth, needle_start and needle_end (tokens of the key's sentence, end excluded),
length, variant, seed, index and version.

Every prompt has exactly the length asked for, in tokens of the tokenizer, and ends right before the answer. Key and place are a pure
function of seed, length, depth and trial. Variants: paper (arXiv 2410.07145), infinitebench (arXiv 2402.13718), longlora (arXiv
2309.12307); retrieval: the numbers kept under --queries of --keys names, --numbers numbers each.

Columns of the table:
` + table.Help[eval.PasskeyRow](),
		Example: `  stuffed passkey --prompts-only --variant paper --tokenizer bytes --length 1024 --depths 10 --trials 20 --seed 1 --output p.jsonl
  stuffed passkey --model out/mamba2-370m --lengths 1K:8K:1K,16K --depths 20 --trials 10 --output out/passkey.parquet
  stuffed passkey --model out/my-model --haystack notes.txt --lengths 1K,2K --depths 10 --output out/own.csv
  stuffed passkey --model out/mamba2-370m --variant retrieval --keys 4 --queries 2 --lengths 1K,2K --depths 5 --trials 20 --output out/keys.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.promptsOnly {
				return writePasskeys(o)
			}
			return runPasskey(c.Context(), c.OutOrStdout(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.promptsOnly, "prompts-only", false, "write the prompts and run no model")
	o.model.add(f)
	o.model.addDevices(f)
	f.StringVar(&o.test.Variant, "variant", "paper", strings.Join(eval.PasskeyVariants(), ", "))
	f.IntVar(&o.length, "length", 1024, "prompts-only: length of a prompt in tokens")
	f.StringVar(&o.lengths, "lengths", "1K,2K,4K", "lengths of the prompts in tokens, such as 1K,2K or first:last:step")
	f.StringVar(&o.depths, "depths", "10", "how many depths, spread evenly, or a list such as 0,0.5,1 (0: start, 1: end)")
	f.IntVar(&o.test.Trials, "trials", 1, "prompts per depth and length")
	f.Int64Var(&o.test.Seed, "seed", 0, "seed of keys")
	f.IntVar(&o.test.Keys, "keys", 1, "retrieval: names")
	f.IntVar(&o.test.Values, "numbers", 1, "retrieval: numbers kept under each name")
	f.IntVar(&o.test.Queries, "queries", 1, "retrieval: names asked for")
	f.StringVar(&o.test.Haystack, "haystack", "", "text file of your own to hide keys or numbers in (default: the variant's noise)")
	f.IntVar(&o.test.Generate, "generate", 0, "tokens that the model writes (0: those of the answer and two more)")
	f.IntVar(&o.test.Batch, "batch", 16, "prompts that run side by side")
	f.StringVar(&o.output, "output", "", "file to write (.parquet or .csv; with --prompts-only .jsonl)")
	return c
}

// runPasskey asks the model and prints accuracy by length and T_recall.
func runPasskey(ctx context.Context, out io.Writer, o passkeyOptions) error {
	if o.model.dir == "" || o.output == "" {
		return errors.New("passkey: give --model and --output, or --prompts-only and --output")
	}
	var err error
	if o.test.Lengths, err = prompt.ParseLengths(o.lengths); err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	if o.test.Depths, err = prompt.ParseDepths(o.depths); err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	model, err := o.model.open()
	if err != nil {
		return err
	}
	progress := notebook.NewProgress("passkey", 0, "tokens")
	o.test.Progress = progress.Of
	rows, err := eval.PasskeyFile(ctx, model, o.test, o.output)
	if err != nil {
		return err
	}
	progress.Done()
	lengths, err := eval.ByLength(rows, "exact")
	if err != nil {
		return err
	}
	if err := notebook.Table(lengths, map[string]string{"length": "tokens"}); err != nil {
		return err
	}
	recall, err := eval.LongestRecall(rows, "exact", 0.95)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, recall)
	return err
}

// writePasskeys makes the prompts of all depths and trials; the file appears complete or not at all.
func writePasskeys(o passkeyOptions) error {
	if o.output == "" {
		return errors.New("passkey: no --output given")
	}
	name := o.model.tokenizer
	if name == "" {
		name = "bytes"
	}
	t, err := openTokenizer(name)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	if o.test.Depths, err = prompt.ParseDepths(o.depths); err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	o.test.Lengths = []int{o.length}
	return atomic.Write(o.output, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return o.test.Prompts(t, func(q task.Prompt) error { return e.Encode(q) })
	})
}

// openTokenizer knows “bytes”, the path of a tokenizer's file or folder, and the name of a model on the hub.
func openTokenizer(name string) (tokenizer.Tokenizer, error) {
	if name == "bytes" {
		return tokenizer.Bytes(), nil
	}
	return models.OpenTokenizer(name)
}
