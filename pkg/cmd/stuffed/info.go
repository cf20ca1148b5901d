package main

import (
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/xla"
)

func init() { commands = append(commands, infoCommand) }

func infoCommand() *cobra.Command {
	backend := "auto"
	c := &cobra.Command{
		Use:   "info DIR|PRESET|NAME",
		Short: "Configuration, size, state, memory and time of a model",
		Long: `Describes a model folder, whose weights it loads and checks, or a preset: ` + strings.Join(lm.Presets(), ", ") + `.
Of a model on the Hugging Face hub, by its name, the configuration is enough; its weights are checked if they are in the cache.

Memory is estimated: parameters (in training also gradients and moments), states, activations and logits. Times are those of
the matrix products alone, at the speed measured on the device; a model takes longer.`,
		Example: "  stuffed info datasets/models/text-t64\n  stuffed info 370m --backend cpu\n  stuffed info state-spaces/mamba2-370m --backend none",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var device *xla.Device
			if backend != "none" {
				var err error
				if device, err = xla.Open(backend); err != nil {
					return err
				}
			}
			return models.Describe(args[0], device, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&backend, "backend", backend, "device to ask for memory and speed: auto, cpu, cuda, go, a GoMLX string, or none")
	return c
}
