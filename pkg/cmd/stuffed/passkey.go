package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/datasets/prompt"
	"stuffed/pkg/tokenizer"
)

func init() { commands = append(commands, passkeyCommand) }

// passkeyOptions are the flags that decide which prompts are made.
type passkeyOptions struct {
	variant, tokenizer, depths, output string
	length, trials                     int
	seed                               int64
}

func passkeyCommand() *cobra.Command {
	var o passkeyOptions
	var promptsOnly bool
	c := &cobra.Command{
		Use:   "passkey",
		Short: "Make passkey prompts of exact length",
		Long: `Writes passkey prompts as JSON lines: a five-digit key hidden at a chosen depth of a text that says nothing, then the question.

Every prompt has exactly --length tokens of --tokenizer and ends right before the answer. Key and place are a pure function of
seed, length and number of the record. Variants: paper (arXiv 2410.07145), infinitebench (arXiv 2402.13718), longlora (arXiv
2309.12307).

A record has text, ids, answer, answer_ids (with the space that follows the prompt), depth, needle_start and needle_end (tokens
of the key's sentence, end excluded), length, variant, seed, index and version.`,
		Example: "  stuffed passkey --prompts-only --variant paper --tokenizer bytes --length 1024 --depths 10 --trials 20 --seed 1 --output p.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !promptsOnly {
				return errors.New("passkey: give --prompts-only")
			}
			return writePasskeys(o)
		},
	}
	f := c.Flags()
	f.BoolVar(&promptsOnly, "prompts-only", false, "write the prompts and run no model")
	f.StringVar(&o.variant, "variant", "paper", strings.Join(prompt.PasskeyVariants(), ", "))
	f.StringVar(&o.tokenizer, "tokenizer", "bytes", "bytes, or the path of a tokenizer.json")
	f.IntVar(&o.length, "length", 1024, "length of a prompt in tokens")
	f.StringVar(&o.depths, "depths", "10", "how many depths, spread evenly, or a list such as 0,0.5,1 (0: start, 1: end)")
	f.IntVar(&o.trials, "trials", 1, "prompts per depth")
	f.Int64Var(&o.seed, "seed", 0, "seed of keys")
	f.StringVar(&o.output, "output", "", "file to write (.jsonl)")
	return c
}

// writePasskeys makes the prompts of all depths and trials; the file appears complete or not at all.
func writePasskeys(o passkeyOptions) error {
	if o.output == "" {
		return errors.New("passkey: no --output given")
	}
	depths, err := prompt.ParseDepths(o.depths)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	t, err := openTokenizer(o.tokenizer)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	p, err := prompt.NewPasskey(o.variant, t, o.length)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	err = prompt.Write(o.output, func(put func(prompt.Record) error) error { return p.Grid(depths, o.trials, o.seed, put) })
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	return nil
}

// openTokenizer knows “bytes” and the path of a tokenizer.json.
func openTokenizer(name string) (tokenizer.Tokenizer, error) {
	if name == "bytes" {
		return tokenizer.Bytes(), nil
	}
	return tokenizer.Open(name)
}
