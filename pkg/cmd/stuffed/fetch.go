package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stuffed/pkg/hub"
	"stuffed/pkg/models"
)

func init() { commands = append(commands, fetchCommand) }

func fetchCommand() *cobra.Command {
	var only string
	var list, verify bool
	parts := map[string]hub.Part{"": hub.Whole, "config": hub.Config, "tokenizer": hub.Tokenizer}
	c := &cobra.Command{
		Use:   "fetch NAME…",
		Short: "Fetch models from the Hugging Face hub into the cache",
		Long: `Fetches what running a model needs and prints the folder. Commands that take --model do so by themselves; this is for
preparing a machine that will have no network. NAME is OWNER/MODEL, with @REVISION for a branch, a tag or a commit, and with /FILE where
a model has several weight files.

The cache is the one that Python uses. HF_ENDPOINT (a mirror), HF_HOME or HF_HUB_CACHE (where), HF_TOKEN (for gated and private
models) and HF_HUB_OFFLINE are honoured. Interrupted downloads resume where they stopped; sizes and SHA-256 are checked.`,
		Example: "  stuffed fetch state-spaces/mamba2-370m\n  stuffed fetch org/model@v1.0 --only tokenizer\n  stuffed fetch --list",
		RunE: func(c *cobra.Command, args []string) error {
			if list {
				return hub.WriteKnown(c.OutOrStdout())
			}
			part, ok := parts[only]
			if !ok {
				return fmt.Errorf("--only is %q, must be config or tokenizer", only)
			}
			if len(args) == 0 {
				return fmt.Errorf("no model named; stuffed fetch --list shows some that are known to work")
			}
			client, err := models.Client()
			if err != nil {
				return err
			}
			for _, arg := range args {
				name, ok := hub.ParseName(arg)
				if !ok {
					return fmt.Errorf("%q is not a name on the hub: want OWNER/MODEL, OWNER/MODEL@REVISION or OWNER/MODEL/FILE", arg)
				}
				path, err := client.Fetch(c.Context(), name, part)
				if err != nil {
					return err
				}
				if verify {
					if _, err := client.Verify(name); err != nil {
						return err
					}
				}
				fmt.Fprintln(c.OutOrStdout(), path)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&only, "only", "", "config or tokenizer: fetch nothing else")
	f.BoolVar(&list, "list", false, "show models that are known to work")
	f.BoolVar(&verify, "verify", false, "hash what is in the cache again")
	return c
}
