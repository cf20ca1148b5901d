package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stuffed/pkg/notebook"
	"stuffed/xla"
	"stuffed/xla/programs"
)

func init() { commands = append(commands, cacheCommand) }

func cacheCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "cache",
		Short: "List or remove compiled programs and notebook cells kept on disk",
		Long: `XLA takes seconds to compile a program. Compiled programs are kept on disk, and later commands, notebook cells and
benchmarks load them in milliseconds. A program is identified by its text, the compile options, the plug-in, the device, the driver and the
processor.

  ` + programs.FolderVariable + `        the folder, or off (default: stuffed/programs in $XDG_CACHE_HOME or ~/.cache)
  ` + programs.LimitVariable + `  limit in MiB; above it, the least recently used programs are removed (default 4096)
  STUFFED_PROGRAMS_LOG    1 writes a line on standard error for every program found or compiled

The programs of notebook cells are kept too, 36 MB each, and linked again only when a source has changed.

  ` + notebook.CellsVariable + `           the folder, or off (default: stuffed/cells in $XDG_CACHE_HOME or ~/.cache)
  ` + notebook.CellsLimitVariable + `     limit in MiB; above it, the least recently used cells are removed (default 8192)`,
	}
	root.AddCommand(&cobra.Command{
		Use: "list", Short: "List compiled programs, most recently used first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := programs.Open()
			if err != nil {
				return err
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "program\tsize\tcompiling took\tlast used\tdevice\tname")
			var size int64
			for _, e := range entries {
				size += e.Bytes
				fmt.Fprintf(w, "%.12s\t%s\t%v\t%s\t%s\t%.40s\n", e.Key, xla.Bytes(e.Bytes), e.Compile.Round(10*time.Millisecond), e.Used.Format(time.DateTime), e.Device, e.Name)
			}
			fmt.Fprintf(w, "%d programs, %s of at most %s in %s\n", len(entries), xla.Bytes(size), xla.Bytes(store.Limit), store.Folder)
			cells, err := notebook.Cells()
			if err == nil && cells.Folder != "" {
				fmt.Fprintf(w, "%d notebook cells, %s in %s\n", cells.Number, xla.Bytes(cells.Bytes), cells.Folder)
			}
			return errors.Join(err, w.Flush())
		},
	}, &cobra.Command{
		Use: "clear", Short: "Remove all compiled programs and notebook cells", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := programs.Open()
			if err != nil {
				return err
			}
			n, size, err := store.Clear()
			fmt.Fprintf(c.OutOrStdout(), "%d programs removed, %s\n", n, xla.Bytes(size))
			cells, failed := notebook.Cells()
			if failed = errors.Join(failed, cells.Clear()); failed == nil {
				fmt.Fprintf(c.OutOrStdout(), "%d notebook cells removed, %s\n", cells.Number, xla.Bytes(cells.Bytes))
			}
			return errors.Join(err, failed)
		},
	})
	return root
}
