package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/atomic"
	"stuffed/pkg/figure"
)

//go:embed reproduction.html
var reproductionPage string

// figuresReport compares figures drawn anew with those that ship.
func figuresReport(shipped *string) *cobra.Command {
	var output string
	var tolerance float64
	c := &cobra.Command{
		Use: "report [DRAWN]", Short: "Report how each redrawn figure differs from the shipped one", Args: cobra.MaximumNArgs(1),
		Long: `Compares the figures in DRAWN (out/small/figures, where make figures puts them) with those in --dir by their points and specs: equal,
within tolerance (how far), or different (where), and what changed in the manifest. Writes a page and JSON beside the terminal's table.`,
		RunE: func(c *cobra.Command, args []string) error {
			drawn := "out/small/figures"
			if len(args) > 0 {
				drawn = args[0]
			}
			all, err := figure.Reproductions(drawn, *shipped, tolerance)
			if err != nil {
				return err
			}
			printReproductions(c.OutOrStdout(), all)
			return writeReproductions(output, drawn, *shipped, all)
		},
	}
	c.Flags().StringVar(&output, "output", "out/reproduction", "page and JSON to write, without extension; empty for none")
	c.Flags().Float64Var(&tolerance, "tolerance", 1e-6, "allowed difference as a part of the largest magnitude of a column")
	return c
}

func printReproductions(w io.Writer, all []figure.Reproduction) {
	count := map[string]int{}
	for _, r := range all {
		count[r.Verdict]++
		fmt.Fprintf(w, "%-26s %-17s %-9s %s\n", r.ID, r.Verdict, distance(r.Distance), strings.Join(append([]string{r.Where}, r.Changed...), " "))
	}
	fmt.Fprintf(w, "%d equal, %d within tolerance, %d different, %d not drawn, %d not shipped\n",
		count[figure.Equal], count[figure.Within], count[figure.Different], count[figure.NotDrawn], count[figure.NotShipped])
}

func distance(d float64) string {
	switch {
	case d == 0:
		return ""
	case math.IsInf(d, 0):
		return "∞"
	}
	return fmt.Sprintf("%.2g", d)
}

// writeReproductions writes output.json and output.html, whose pictures lie where the figures are.
func writeReproductions(output, drawn, shipped string, all []figure.Reproduction) error {
	if output == "" {
		return nil
	}
	for i := range all {
		if math.IsInf(all[i].Distance, 0) {
			all[i].Distance = -1 // JSON has no infinity
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := atomic.Bytes(output+".json", append(text, '\n')); err != nil {
		return err
	}
	relative := func(dir string) string {
		if r, err := filepath.Rel(filepath.Dir(output), dir); err == nil {
			return filepath.ToSlash(r)
		}
		return filepath.ToSlash(dir)
	}
	page, err := template.New("page").Parse(reproductionPage)
	if err != nil {
		return err
	}
	return atomic.Write(output+".html", func(w io.Writer) error {
		return page.Execute(w, map[string]any{"All": all, "Drawn": relative(drawn), "Shipped": relative(shipped)})
	})
}
