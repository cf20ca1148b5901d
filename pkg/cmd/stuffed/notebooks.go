package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"stuffed/pkg/notebook"
)

func init() { commands = append(commands, notebooksCommand) }

func notebooksCommand() *cobra.Command {
	r := notebook.Runner{}
	root := &cobra.Command{
		Use:   "notebooks",
		Short: "Run, check or export the notebooks without a browser",
		PersistentPreRunE: func(c *cobra.Command, names []string) (err error) {
			r.Names, r.Out = names, c.OutOrStdout()
			r.Root, err = notebook.Root()
			return err
		},
	}
	root.PersistentFlags().StringVar(&r.Dir, "dir", "notebooks", "folder of the notebooks; relative to the project")
	var pairs []string
	run := &cobra.Command{
		Annotations: map[string]string{savesAtTheEnd: "yes"},
		Use:         "run [NB…]",
		Short:       "Execute notebooks, all or those whose names begin with NB",
		Example:     "  stuffed notebooks run 01 --scale small\n  stuffed notebooks run 17 -p folder=out/my-model -p length=65536 --output out/my-model/pages",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Values, err = notebook.ParseParameters(pairs); err != nil {
				return err
			}
			return r.Run(c.Context())
		},
	}
	run.Flags().StringArrayVarP(&pairs, "parameter", "p", nil, "NAME=VALUE of the cell with the tag parameters; repeat for several")
	run.Flags().StringVar(&r.Output, "output", "", "folder of the executed notebooks (default out/notebooks)")
	run.Flags().StringVar(&r.Scale, "scale", "small", "smoke (to see that cells run), small (minutes on two cores) or full (GPU)")
	run.Flags().DurationVar(&r.Cell, "cell-timeout", 20*time.Minute, "how long one cell may take")
	run.Flags().IntVar(&r.Jobs, "jobs", 0, "notebooks at a time (default two, but one on a single core and at scale full)")
	run.Flags().BoolVar(&r.InPlace, "in-place", false, "also keep the results in the notebooks, without times and rates and with small pictures")
	each := func(do func(path string) error) func(*cobra.Command, []string) error {
		return func(*cobra.Command, []string) error {
			paths, err := notebook.List(r.Folder(), r.Names...)
			for _, p := range paths {
				err = errors.Join(err, do(p))
			}
			if err == nil {
				fmt.Fprintf(r.Out, "%d notebooks\n", len(paths))
			}
			return err
		}
	}
	title := ""
	create := &cobra.Command{
		Use: "new NAME", Short: "Write a notebook with the cells that every notebook begins with", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			path, err := notebook.New(r.Folder(), names[0], title)
			if err == nil {
				fmt.Fprintln(r.Out, filepath.Join(r.Dir, filepath.Base(path)))
			}
			return err
		},
	}
	create.Flags().StringVar(&title, "title", "", "title of the notebook (its name)")
	root.AddCommand(run, create,
		&cobra.Command{
			Use: "copies FOLDER", Short: "Copy the notebooks to FOLDER to run and change them there; copies that were changed are kept", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, names []string) error {
				to := notebook.Runner{Root: r.Root, Dir: names[0]}.Folder()
				behind, err := notebook.Copies(r.Folder(), to)
				for _, name := range behind {
					fmt.Fprintf(r.Out, "%s was changed by you and in the project: yours is kept, remove it to have the project's\n", filepath.Join(names[0], name))
				}
				return err
			},
		},
		&cobra.Command{
			Use: "html [NB…]", Short: "Export executed notebooks to out/html",
			RunE: func(c *cobra.Command, _ []string) error { return r.HTML(c.Context()) },
		},
		&cobra.Command{
			Use: "check [NB…]", Short: "Report what keeps notebooks from being published",
			RunE: each(notebook.Check),
		},
		&cobra.Command{
			Use: "strip [NB…]", Short: "Remove outputs and what changes from run to run",
			RunE: each(func(p string) error { return notebook.Clean(p, true) }),
		},
	)
	return root
}
