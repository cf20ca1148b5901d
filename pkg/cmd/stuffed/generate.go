package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/pkg/plaintext"
)

func init() { commands = append(commands, generateCommand) }

func generateCommand() *cobra.Command {
	var m modelFlags
	var s lm.Sampling
	var prompt, promptFile string
	var tokens, count int
	var stop []int32
	c := &cobra.Command{
		Use:   "generate --model DIR --prompt TEXT --tokens N",
		Short: "Continue a text",
		Long: `Writes the continuation of a text to standard output as it is made (the prompt itself is not repeated). The prompt may be of any
length: it is read piece by piece, then tokens are made in one graph on the device. Without --temperature the most likely token
is taken; otherwise tokens are drawn, the same ones for the same --seed. The tokenizer's end of a document ends the text; --count
makes several continuations, one after the other, with a line between them.`,
		Example: `  stuffed generate --model out/my-model --prompt "The capital of France" --tokens 64 --temperature 0.8 --top-p 0.95 --seed 1
  stuffed generate --model out/my-model --prompt-file chapter.txt --tokens 500 --tokenizer bytes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if promptFile != "" {
				content, err := os.ReadFile(promptFile)
				if err == nil {
					content, err = plaintext.Lines(content)
				}
				if err != nil {
					return fmt.Errorf("--prompt-file %s: %w", promptFile, err)
				}
				prompt = string(content)
			}
			s.Stop = stop
			model, err := m.openFor(len(prompt) + tokens*count) // a token is a byte at least
			if err != nil {
				return err
			}
			return models.Continue(c.Context(), model, prompt, tokens, count, s, c.OutOrStdout())
		},
	}
	f := c.Flags()
	m.add(f)
	f.StringVar(&prompt, "prompt", "", "text to continue")
	f.StringVar(&promptFile, "prompt-file", "", "file with the text to continue")
	f.IntVar(&tokens, "tokens", 128, "tokens to make at most")
	f.IntVar(&count, "count", 1, "continuations")
	f.Float64Var(&s.Temperature, "temperature", 0, "0 takes the most likely token, 1 draws from the model's distribution")
	f.Float64Var(&s.TopP, "top-p", 1, "draw from the fewest most likely tokens of at least this probability together")
	f.Uint64Var(&s.Seed, "seed", 0, "seed of the draws")
	f.Int32SliceVar(&stop, "stop", nil, "token ids that end the text (beside the tokenizer's end of a document)")
	cobra.CheckErr(c.MarkFlagRequired("model"))
	c.MarkFlagsMutuallyExclusive("prompt", "prompt-file")
	c.MarkFlagsOneRequired("prompt", "prompt-file")
	return c
}
