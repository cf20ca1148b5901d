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

//go:embed site.html
var contents string

// entry is one notebook in the table of contents.
type entry struct {
	Name, Title, Summary, Text string
	Headings, Figures          []string
}

// documents lists the texts, relative to the project's folder, that become pages beside the notebooks.
var documents = []string{"RESULTS.md", "notebooks/README.md", "notebooks/LOG.md", "notebooks/GLOSSARY.md", "notebooks/RELATED.md"}

// HTML writes a static site to out/html that needs nothing from the network: the notebooks, as last run or as shipped, the claims
// and other texts, the figures with their data, and a searchable table of contents. Any static host can serve the folder. In a
// complete site every link resolves.
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
	if err := r.pages(ctx, paths, to); err != nil {
		return err
	}
	if err := r.contents(drawn, to); err != nil {
		return err
	}
	fmt.Fprintln(r.Out, filepath.Join("out", "html", "index.html"))
	if len(r.Names) > 0 {
		return nil // pages of other notebooks may be missing
	}
	return CheckLinks(to)
}

// contents writes the table of contents of the existing pages.
func (r Runner) contents(drawn []string, to string) error {
	whole, err := List(r.Folder())
	if err != nil {
		return err
	}
	for _, name := range documents {
		whole = append(whole, filepath.Join(r.Root, name))
	}
	var all []entry
	for _, path := range whole {
		base := filepath.Base(path)
		if base == "index.ipynb" || !exists(filepath.Join(to, strings.TrimSuffix(base, filepath.Ext(base))+".html")) {
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
	return atomic.Write(filepath.Join(to, "index.html"), func(w io.Writer) error { return page.Execute(w, all) })
}

// pages converts the notebooks, preferring those last run to those shipped, and the documents in one call, since most of a call
// is start-up time.
func (r Runner) pages(ctx context.Context, paths []string, to string) error {
	tmp, err := r.scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var sources []string
	for _, path := range paths {
		if filepath.Base(path) == "index.ipynb" {
			continue // replaced by the table of contents
		}
		if run := filepath.Join(r.Root, executed, filepath.Base(path)); exists(run) {
			path = run
		}
		sources = append(sources, path)
	}
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(r.Root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		cell, err := asNotebook(string(text))
		if err != nil {
			return err
		}
		path := filepath.Join(tmp, strings.TrimSuffix(filepath.Base(name), ".md")+".ipynb")
		if err := atomic.Bytes(path, cell); err != nil {
			return err
		}
		sources = append(sources, path)
	}
	log, err := r.convert(ctx, sources, "--to", "html", "--output-dir", to,
		"--HTMLExporter.mathjax_url=", "--HTMLExporter.require_js_url=", "--HTMLExporter.jquery_url=",
		"--HTMLExporter.widget_renderer_url=", "--HTMLExporter.mermaid_js_url=")
	if err != nil {
		return fmt.Errorf("pages: %s\n(%w)", failure(log), err)
	}
	for _, path := range sources {
		name := strings.TrimSuffix(filepath.Base(path), ".ipynb") + ".html"
		data, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			return err
		}
		if err := atomic.Bytes(filepath.Join(to, name), finished(data)); err != nil {
			return err
		}
		fmt.Fprintln(r.Out, filepath.Join("out", "html", name))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// asNotebook wraps a text in a notebook of one cell.
func asNotebook(text string) ([]byte, error) {
	return json.Marshal(map[string]any{"nbformat": 4, "nbformat_minor": 5, "metadata": map[string]any{},
		"cells": []any{map[string]any{"cell_type": "markdown", "id": "text", "metadata": map[string]any{}, "source": text}}})
}

var (
	// empty matches script tags that would fetch what was left out.
	empty = regexp.MustCompile(`<script src=""></script>\n?`)
	// linked matches a link from one notebook or document to another.
	linked = regexp.MustCompile(`href="(?:\.\./|notebooks/)?(\w+)\.(?:ipynb|md)(#[^"]*)?"`)
	// drawing matches a link to a figure's picture: in the contents it stands with its notebook, data and command.
	drawing = regexp.MustCompile(`href="(?:\.\./)?figures/(\w+)/\w+\.png"`)
)

// finished links pages to pages, drops script tags that fetch nothing, and makes the page fit a phone.
func finished(page []byte) []byte {
	page = linked.ReplaceAll(page, []byte(`href="$1.html$2"`))
	page = drawing.ReplaceAll(page, []byte(`href="index.html#$1"`))
	page = empty.ReplaceAll(page, nil)
	const narrow = `<style>@media (max-width: 700px) { .jp-InputPrompt, .jp-OutputPrompt { display: none !important } body, .jp-Notebook { padding: 0 6px !important } }
.jp-RenderedHTMLCommon img, .jp-RenderedImage img, .jp-RenderedSVG svg { max-width: 100%; height: auto }
.jp-OutputArea-output, .jp-InputArea-editor, .jp-RenderedMarkdown { overflow-x: auto }
.jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th { vertical-align: top !important } pre { tab-size: 4 }
@media (max-width: 700px) { .jp-RenderedHTMLCommon td { min-width: 6em } }</style>
</head>`
	text := strings.Replace(string(page), "</head>", narrow, 1)
	const links = `<nav style="padding: 8px 16px; font: 14px/1.5 system-ui, sans-serif"><a href="index.html">Contents</a> · <a href="RESULTS.html">Claims</a> · <a href="GLOSSARY.html">Glossary</a></nav>`
	return []byte(strings.Replace(text, "<main>", links+"\n<main>", 1))
}

// entryOf reads title, first paragraph, headings and words from a notebook or document.
func entryOf(path string, drawn []string) (entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	base := filepath.Base(path)
	e := entry{Name: strings.TrimSuffix(base, filepath.Ext(base))}
	e.Title = e.Name
	if filepath.Ext(base) == ".md" {
		e.read([]string{string(data)})
		return e, nil
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
	var written []string
	for _, c := range nb.Cells {
		if c.Type == "markdown" {
			written = append(written, string(c.Source))
		}
	}
	e.read(written)
	number, _, _ := strings.Cut(e.Name, "_")
	for _, id := range drawn {
		if strings.HasPrefix(id, number+"_") {
			e.Figures = append(e.Figures, id)
		}
	}
	return e, nil
}

// marks matches the Markdown that plain text leaves out: emphasis, code marks and link targets.
var marks = regexp.MustCompile("\\*+|`|\\[([^]]*)\\]\\([^)]*\\)")

// read takes title, summary, headings and words from Markdown.
func (e *entry) read(written []string) {
	all := marks.ReplaceAllString(strings.Join(written, "\n\n"), "$1")
	for paragraph := range strings.SplitSeq(all, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" {
			continue
		}
		switch {
		case strings.HasPrefix(paragraph, "# "):
			title, rest, _ := strings.Cut(paragraph[2:], "\n")
			e.Title = title
			paragraph = strings.TrimSpace(rest)
		case strings.HasPrefix(paragraph, "#"):
			paragraph = ""
		}
		if e.Summary == "" {
			e.Summary = paragraph
		}
	}
	for line := range strings.Lines(all) {
		if strings.HasPrefix(line, "## ") {
			e.Headings = append(e.Headings, strings.TrimSpace(line[3:]))
		}
	}
	e.Text = strings.ToLower(all)
}

// copyFigures copies the figures of a folder with their data and returns their names; a missing folder has none.
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
