package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
)

func TestFiguresCommand(t *testing.T) {
	dirs := [2]string{}
	for i := range dirs {
		dirs[i] = t.TempDir()
		f, err := figure.New(figure.Curves{
			X: figure.Axis{Column: "x", Label: "Position", Unit: "tokens"}, Y: figure.Axis{Column: "y", Label: "Loss", Unit: "nat/token"},
		}, table.New().AddFloat("x", []float64{1, 2}).AddFloat("y", []float64{1, 2 + 0.1*float64(i)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := figure.Save(dirs[i], "01_loss", f, map[string]any{"command": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"01_loss\n":                     {"list"},
		"1 figures checked, 0 failed":   {"check"},
		"1 figures drawn, 0 failed":     {"draw", "01_loss"},
		"1 figures equal, 0 failed\n":   {"compare", dirs[0]},
		"1 figures equal, 0 failed":     {"compare", dirs[1], "--tolerance", "0.1"},
		"0 figures equal, 1 failed":     {"compare", dirs[1], "01_loss"},
		"0 figures checked, 1 failed\n": {"check", "02_none"},
	} {
		out, err := execute(figuresCommand(), append(args, "--dir", dirs[0])...)
		if !strings.Contains(out, want) || (err != nil) != strings.Contains(want, "1 failed") {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
	csv := filepath.Join(dirs[0], "01_loss", "01_loss.csv")
	data, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(csv, []byte(strings.Replace(string(data), "2", "3", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := execute(figuresCommand(), "check", "--dir", dirs[0]); err == nil || !strings.Contains(err.Error(), "01_loss.csv") {
		t.Error("an edited number passes:", out, err)
	}
}
