package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/figure"
)

// eachFigure makes a command's body of what is done with one figure.
type eachFigure = func(do func(dir, id string) error, word string) func(*cobra.Command, []string) error

func figuresDraw(each eachFigure) *cobra.Command {
	var (
		s                   figure.Style
		file, width, output string
		height              float64
		set                 []string
		palette             string
		styled              = []string{"style", "width", "height", "font", "size", "palette", "grey", "language", "svg-text", "set"}
		changed             bool
	)
	c := &cobra.Command{
		Use: "draw [ID…]", Short: "Draw figures again from their points and specs, in another style where one is given",
		Long: "Without a style, the files of a figure are redrawn in place. With one, figures are written to --output as a journal wants them:\n" +
			"a style file is JSON with any of width, height (of a panel, in inches), font, size, palette, grey, language, words and svg_text;\n" +
			"flags set the same values and override it. Fonts: " + strings.Join(figure.Fonts(), ", ") + ", or a TrueType file.",
		Example: "  stuffed figures draw 09_training_length --width 88mm --font \"Liberation Serif\" --output out/paper\n" +
			"  stuffed figures draw --style journal.json --output out/paper\n" +
			"  stuffed figures draw 01_loss --set y.scale=log10 --set x.min=16 --grey --output out/grey",
		RunE: func(c *cobra.Command, ids []string) error {
			changes, err := figure.ReadChanges(file)
			if err != nil {
				return err
			}
			for _, name := range styled {
				changed = changed || c.Flags().Changed(name)
			}
			if !changed {
				return each(figure.Redraw, "drawn")(c, ids)
			}
			if output == "" {
				return errors.New("output: name a folder for figures in another style, such as --output out/paper")
			}
			if palette != "" {
				s.Palette = strings.Split(palette, ",")
			}
			own, err := json.Marshal(s)
			if err == nil {
				err = json.Unmarshal(own, &changes.Style)
			}
			if err != nil {
				return err
			}
			if width != "" {
				changes.Width = width
			}
			if height != 0 {
				changes.Height = height
			}
			changes.Set = set
			return each(func(dir, id string) error { return figure.Restyle(dir, id, output, changes) }, "drawn")(c, ids)
		},
	}
	f := c.Flags()
	f.StringVar(&file, "style", "", "style file")
	f.StringVar(&width, "width", "", "width of the figure: single, double, 88mm, 3.5in …")
	f.Float64Var(&height, "height", 0, "height of a panel's frame in inches")
	f.StringVar(&s.Font, "font", "", "font of all text")
	f.Float64Var(&s.Size, "size", 0, "size of axis titles in points; everything else scales with it")
	f.StringVar(&palette, "palette", "", "colours of series, such as #4477aa,#ee6677")
	f.BoolVar(&s.Grey, "grey", false, "colours as their lightness")
	f.StringVar(&s.Language, "language", "", "en, de or fr: decimal sign and the words that figures add")
	f.BoolVar(&s.SVGText, "svg-text", false, "keep text in SVG as text")
	f.StringArrayVar(&set, "set", nil, "a value of the spec, such as y.scale=log10")
	f.StringVar(&output, "output", "", "folder for figures in another style")
	return c
}

func figuresExport(each eachFigure) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "export [ID…]", Short: "Write figures for other programs: Vega-Lite with its data, CSV, and a matplotlib program that redraws them",
		Long: "For each figure the folder ID gets ID.vl.json (Vega-Lite, data within: opens in its editor, Observable or Altair), ID.csv, spec.json and\n" +
			"redraw.py, which draws ID.pdf and ID.png with matplotlib and pandas: python redraw.py.",
		Example: "  stuffed figures export 01_loss --output out/export",
		RunE: func(c *cobra.Command, ids []string) error {
			if err := os.MkdirAll(output, 0o755); err != nil {
				return fmt.Errorf("output: %w", err)
			}
			return each(func(dir, id string) error { return figure.Export(dir, id, output) }, "exported")(c, ids)
		},
	}
	c.Flags().StringVar(&output, "output", "out/export", "folder to write to")
	return c
}
