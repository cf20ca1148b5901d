package notebook

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	pages "html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
	"stuffed/pkg/figure"
)

// linked matches a link from one notebook to another.
var linked = regexp.MustCompile(`href="(\w+)\.ipynb"`)

//go:embed site.html
var contents string

// entry is a notebook in the table of contents.
type entry struct {
	Name, Title, Summary, Text string
	Headings, Figures          []string
}

// HTML makes a site of pages that need nothing from the network in out/html: the notebooks, as they were run last or as they ship, their
// figures with data, and a table of contents that can be searched. Any static host serves the folder.
func (r Runner) HTML(ctx context.Context) error {
	paths, err := List(r.Folder(), r.Names...)
	if err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return err
	}
	to := filepath.Join(r.Root, "out", "html")
	drawn, err := copyFigures(filepath.Join(r.Root, "figures"), filepath.Join(to, "figures"))
	if err != nil {
		return err
	}
	for _, name := range []string{"README.md", "LOG.md"} {
		if text, err := os.ReadFile(filepath.Join(r.Folder(), name)); err == nil {
			if err := atomic.Bytes(filepath.Join(to, name), text); err != nil {
				return err
			}
		}
	}
	var all []entry
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".ipynb")
		if name == "index" {
			continue // the table of contents stands for it
		}
		if err := r.page(ctx, path, to); err != nil {
			return err
		}
		fmt.Fprintln(r.Out, filepath.Join("out", "html", name+".html"))
	}
	whole, err := List(r.Folder())
	if err != nil {
		return err
	}
	for _, path := range whole {
		name := strings.TrimSuffix(filepath.Base(path), ".ipynb")
		if _, err := os.Stat(filepath.Join(to, name+".html")); err != nil || name == "index" {
			continue
		}
		e, err := entryOf(path, drawn)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	page, err := pages.New("contents").Parse(contents)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.Out, filepath.Join("out", "html", "index.html"))
	return atomic.Write(filepath.Join(to, "index.html"), func(w io.Writer) error { return page.Execute(w, all) })
}

// page converts one notebook: the one that was run last, else the one that ships with its results.
func (r Runner) page(ctx context.Context, path, to string) error {
	name := strings.TrimSuffix(filepath.Base(path), ".ipynb")
	source := filepath.Join(r.Root, executed, name+".ipynb")
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		source = path
	}
	log, err := r.convert(ctx, source, "--to", "html", "--output-dir", to, "--output", name+".html",
		"--HTMLExporter.mathjax_url=", "--HTMLExporter.require_js_url=", "--HTMLExporter.jquery_url=",
		"--HTMLExporter.widget_renderer_url=", "--HTMLExporter.mermaid_js_url=")
	if err != nil {
		return fmt.Errorf("%s: %s\n(%w)", name, failure(log), err)
	}
	data, err := os.ReadFile(filepath.Join(to, name+".html"))
	if err != nil {
		return err
	}
	return atomic.Bytes(filepath.Join(to, name+".html"), finished([]byte(data)))
}

// empty are script tags that fetched what is left out.
var empty = regexp.MustCompile(`<script src=""></script>\n?`)

// finished links pages to pages, drops what would fetch nothing, and makes the page fit a phone.
func finished(page []byte) []byte {
	page = linked.ReplaceAll(page, []byte(`href="$1.html"`))
	page = empty.ReplaceAll(page, nil)
	const narrow = `<style>@media (max-width: 700px) { .jp-InputPrompt, .jp-OutputPrompt { display: none !important } body, .jp-Notebook { padding: 0 6px !important } }
.jp-RenderedHTMLCommon img, .jp-RenderedImage img, .jp-RenderedSVG svg { max-width: 100%; height: auto }
.jp-OutputArea-output, .jp-InputArea-editor { overflow-x: auto }</style>
</head>`
	text := strings.Replace(string(page), "</head>", narrow, 1)
	return []byte(strings.Replace(text, "<main>", `<nav style="padding: 8px 16px"><a href="index.html">Contents</a></nav>`+"\n<main>", 1))
}

// entryOf reads title, first paragraph, headings and words of a notebook.
func entryOf(path string, drawn []string) (entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	var nb struct {
		Cells []struct {
			Type   string `json:"cell_type"`
			Source text   `json:"source"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(data, &nb); err != nil {
		return entry{}, fmt.Errorf("%s: %w", path, err)
	}
	e := entry{Name: strings.TrimSuffix(filepath.Base(path), ".ipynb")}
	e.Title = e.Name
	var words []string
	for _, c := range nb.Cells {
		if c.Type != "markdown" {
			continue
		}
		words = append(words, string(c.Source))
		for line := range strings.Lines(string(c.Source)) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "# "):
				e.Title = line[2:]
			case strings.HasPrefix(line, "## "):
				e.Headings = append(e.Headings, line[3:])
			case e.Summary == "" && line != "":
				e.Summary = line
			}
		}
	}
	e.Text = strings.ToLower(strings.Join(words, " "))
	number, _, _ := strings.Cut(e.Name, "_")
	for _, id := range drawn {
		if strings.HasPrefix(id, number+"_") {
			e.Figures = append(e.Figures, id)
		}
	}
	return e, nil
}

// copyFigures copies the figures of a folder with their data and returns their names; a folder that is not there has none.
func copyFigures(from, to string) ([]string, error) {
	ids, err := figure.List(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		entries, err := os.ReadDir(filepath.Join(from, id))
		if err != nil {
			return nil, err
		}
		for _, f := range entries {
			data, err := os.ReadFile(filepath.Join(from, id, f.Name()))
			if err != nil {
				return nil, err
			}
			if err := atomic.Bytes(filepath.Join(to, id, f.Name()), data); err != nil {
				return nil, err
			}
		}
	}
	return slices.Sorted(slices.Values(ids)), nil
}
