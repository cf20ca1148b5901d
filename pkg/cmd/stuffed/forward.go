package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
)

func init() { commands = append(commands, forwardCommand) }

func forwardCommand() *cobra.Command {
	var m modelFlags
	var o models.ForwardOptions
	var input, output, split string
	var wide bool
	c := &cobra.Command{
		Use:   "forward --model DIR --input IN.safetensors --output OUT.safetensors",
		Short: "Run tokens through a model and write logits, states, losses and gradients",
		Long: `Reads a safetensors file and writes another, which appears complete or not at all.

Input:   input_ids       I64 [B,T]     token ids
         NAME0           F32           each tensor NAME of the model's state to start from (optional, zeros); "stuffed info DIR"
                                       lists them with their shapes
         cu_seqlens      I64 [docs+1]  documents packed in the one sequence, from 0 to T: each starts from zeros, the first
                                       from the given state (optional)
Output:  logits          F32 [B,T,V]
         NAME.final      F32           each tensor of the state after the last token; with cu_seqlens after each document, in
                                       place of the batch
         loss.per_token  F32 [B,T-1]   entry t is -log p(token t+1 | tokens 0 … t) in nats, across documents too
         probe.NAME      F32 [L,B,T,…] with --probes: activations of every layer and token; states is [L,n,B,…], after each
                                       position of --split and the last token
         grad.NAME                     with --grads: gradient of the mean of loss.per_token, by the parameter's name in the folder

--split 1,5,17 cuts the sequence before the tokens 1, 5 and 17: pieces of 1, 4, 12 and T-17 tokens, run one after the other with
the state carried. Positions ascend within 0 … T; equal ones make a piece of no token. The result does not depend on it.
Split, cu_seqlens, initial states and --grads can be combined; documents and gradients run in one graph, the whole sequence in
memory.`,
		Example: `  stuffed forward --model datasets/models/text-t64 --input in.safetensors --output out.safetensors --split 1,5,17 --backend cpu
  stuffed forward --model datasets/models/text-t64 --input in.safetensors --output out.safetensors --grads
  stuffed forward --model datasets/models/text-t64 --input in.safetensors --output out.safetensors --probes x,B,C,delta,states`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cuts, err := parsePositions(split)
			if err != nil {
				return fmt.Errorf("--split: %w", err)
			}
			o.Cuts = cuts
			model, err := m.open()
			if err != nil {
				return err
			}
			if wide {
				if err := model.Float64(); err != nil {
					return fmt.Errorf("--%w", err)
				}
			}
			progress := notebook.NewProgress("forward", 0, "tokens")
			o.Progress = func(done, total int) { progress.Of(int64(done), int64(total)) }
			if err := models.ForwardFile(c.Context(), model.Runner, input, output, o); err != nil {
				return err
			}
			progress.Done()
			return nil
		},
	}
	f := c.Flags()
	m.add(f)
	f.StringVar(&input, "input", "", "file to read (.safetensors)")
	f.StringVar(&output, "output", "", "file to write (.safetensors)")
	f.StringVar(&split, "split", "", "positions where the sequence is cut, such as 1,5,17")
	f.StringSliceVar(&o.Probes, "probes", nil, "activations to write for every token, such as x,B,C,delta,states (a wrong name lists those of the model)")
	f.BoolVar(&o.Gradients, "grads", false, "also the gradient of the mean loss by every parameter")
	f.BoolVar(&wide, "float64", false, "compute in float64; NAME.final is F64 then, what else is written F32 as always")
	for _, name := range []string{"model", "input", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	return c
}

// parsePositions reads a list of whole numbers separated by commas.
func parsePositions(list string) (positions []int, err error) {
	for item := range strings.SplitSeq(list, ",") {
		if list == "" {
			return nil, nil
		}
		n, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("%q is not a position; give whole numbers separated by commas, such as 1,5,17", item)
		}
		positions = append(positions, n)
	}
	return positions, nil
}
