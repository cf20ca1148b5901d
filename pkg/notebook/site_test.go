package notebook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
)

func TestFinishedPagesFetchNothingAndLinkPages(t *testing.T) {
	page := string(finished([]byte("<head><script src=\"\"></script>\n</head><main><a href=\"02_training.ipynb\">x</a><a href=\"README.md\">y</a><a href=\"../RESULTS.md#a\">z</a><a href=\"figures/03_norm/03_norm.png\">f</a></main>")))
	for _, want := range []string{`href="02_training.html"`, `href="index.html"`, `href="README.html"`, `href="RESULTS.html#a"`, `href="index.html#03_norm"`, "max-width: 700px"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if strings.Contains(page, `src=""`) || strings.Contains(page, ".ipynb") {
		t.Error(page)
	}
}

func TestContentsNameFiguresAndHeadings(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "03_states.ipynb")
	text := `{"cells":[{"cell_type":"markdown","source":["# 03 States\n","What it shows.\n","\n","More."]},{"cell_type":"code","source":"x"},{"cell_type":"markdown","source":"## Parameters\nText."}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := figure.New(figure.Curves{X: figure.Axis{Column: "x", Label: "X", Unit: "1"}, Y: figure.Axis{Column: "y", Label: "Y", Unit: "1"}},
		table.New().AddFloat("x", []float64{1, 2}).AddFloat("y", []float64{1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"03_norm", "04_other"} {
		if err := figure.Save(filepath.Join(dir, "figures"), id, f, nil); err != nil {
			t.Fatal(err)
		}
	}
	drawn, err := copyFigures(filepath.Join(dir, "figures"), filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "site", "03_norm", "03_norm.pdf")); err != nil {
		t.Error(err)
	}
	e, err := entryOf(path, drawn)
	if err != nil || e.Title != "03 States" || e.Summary != "What it shows." || len(e.Headings) != 1 || len(e.Figures) != 1 || !strings.Contains(e.Text, "more.") {
		t.Errorf("%+v, %v", e, err)
	}
	if none, err := copyFigures(filepath.Join(dir, "none"), dir); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}
