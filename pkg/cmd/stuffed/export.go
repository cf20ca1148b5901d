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
		Use:   "export RUN --output FOLDER",
		Short: "Write the models of a training snapshot as Hugging Face folders",
		Long: `RUN is the output folder of stuffed train (its newest whole snapshot is taken) or one of its snapshots/step-N.
Every member becomes FOLDER/MEMBER with config.json, model.safetensors and training.json; --member N writes one alone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
	f.StringVar(&layout, "layout", models.Default, "of the architecture: default, and for Mamba-2 huggingface or official (mamba_ssm)")
	cobra.CheckErr(c.MarkFlagRequired("output"))
	return c
}
