package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"stuffed/pkg/models"
	"stuffed/pkg/train"
)

func init() { commands = append(commands, exportCommand) }

func exportCommand() *cobra.Command {
	var output, dtype, layout string
	member := -1
	c := &cobra.Command{
		Use:   "export RUN|MODEL --output FOLDER",
		Short: "Write the models of a training snapshot, or a model in another layout, as folders",
		Long: `RUN is the output folder of stuffed train (its newest complete snapshot is used) or one of its snapshots/step-N.
Every member becomes FOLDER/MEMBER with config.json, model.safetensors and training.json; --member N writes one alone.
MODEL is a model's folder or its name on the hub, in any layout that can be read; it is written to FOLDER in another layout or dtype.`,
		Example: `  stuffed export out/run --output out/models
  stuffed export state-spaces/mamba-130m --dtype BF16 --output out/mamba-130m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !train.IsRun(args[0]) {
				return models.Convert(args[0], output, layout, dtype)
			}
			written, err := train.ExportSnapshot(args[0], output, member, layout, dtype)
			for _, dir := range written {
				fmt.Fprintln(cmd.OutOrStdout(), filepath.ToSlash(dir))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&output, "output", "", "folder to write")
	f.IntVar(&member, "member", -1, "number of one member, −1 for all")
	f.StringVar(&dtype, "dtype", "F32", "F32, BF16 or F16")
	f.StringVar(&layout, "layout", models.Default, "of the architecture: default, huggingface (transformers, flash-linear-attention) or official (mamba_ssm, BlinkDL), where it has these")
	cobra.CheckErr(c.MarkFlagRequired("output"))
	return c
}
