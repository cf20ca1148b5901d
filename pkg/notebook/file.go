package notebook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"stuffed/pkg/atomic"
	"stuffed/pkg/figure"
)

// Limits that keep a notebook readable: it shows what the packages can do.
const (
	MostCodeCells = 15
	MostCellLines = 30
	MostColumns   = 88 // a tab counts as four; wider cells scroll sideways in JupyterLab
)

// file holds the parts of a notebook that are looked at; everything else is preserved as it is.
type file struct {
	Cells []cell `json:"cells"`
	Meta  struct {
		Kernel struct {
			Name string `json:"name"`
		} `json:"kernelspec"`
	} `json:"metadata"`
}

type cell struct {
	Kind    string   `json:"cell_type"`
	Source  text     `json:"source"`
	Outputs []output `json:"outputs"`
}

type output struct {
	Kind  string `json:"output_type"`
	Name  string `json:"ename"`
	Value string `json:"evalue"`
}

// text is a string or a list of lines.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// List returns the notebooks of a folder: all, or those whose names begin with one of the prefixes ("01", "03_states").
func List(dir string, prefixes ...string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.ipynb"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	if len(paths) == 0 {
		return nil, fmt.Errorf("no notebooks in %s; start this in the project's folder", dir)
	}
	if len(prefixes) == 0 {
		return paths, nil
	}
	var chosen []string
	for _, prefix := range prefixes {
		prefix = strings.TrimSuffix(filepath.Base(prefix), ".ipynb")
		n := len(chosen)
		for _, p := range paths {
			if strings.HasPrefix(filepath.Base(p), prefix) && !slices.Contains(chosen, p) {
				chosen = append(chosen, p)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("no notebook in %s begins with %q", dir, prefix)
		}
	}
	return chosen, nil
}

// Check reports what keeps a notebook from being published: too many, too long or too wide code cells, another kernel, a first
// code cell that does not join the project's module, unused imports, error outputs, and paths or names of a machine.
func Check(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var nb file
	if err := json.Unmarshal(data, &nb); err != nil {
		return fmt.Errorf("%s: not a notebook: %w", filepath.Base(path), err)
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if nb.Meta.Kernel.Name != "gonb" {
		say("kernel %q instead of gonb", nb.Meta.Kernel.Name)
	}
	code := 0
	for i, c := range nb.Cells {
		if c.Kind != "code" {
			continue
		}
		if code++; code == 1 && !(strings.Contains(string(c.Source), "%noautoget") && strings.Contains(string(c.Source), "go work init")) {
			say("the first code cell needs the lines %%noautoget and !*go work init . $GONB_DIR/..")
		}
		if n := strings.Count(strings.TrimSpace(string(c.Source)), "\n") + 1; n > MostCellLines {
			say("cell %d has %d lines, at most %d", i+1, n, MostCellLines)
		}
		for j, line := range strings.Split(string(c.Source), "\n") {
			if n := columns(line); n > MostColumns {
				say("cell %d: line %d has %d columns, at most %d", i+1, j+1, n, MostColumns)
			}
		}
		for _, o := range c.Outputs {
			if o.Kind == "error" {
				say("cell %d failed: %s %s", i+1, o.Name, o.Value)
			}
		}
	}
	for _, path := range unused(nb.Cells) {
		say("no cell uses the import %q", path)
	}
	if code > MostCodeCells {
		say("%d code cells, at most %d", code, MostCodeCells)
	}
	if err := figure.Private(data); err != nil {
		say("it %v", err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %s", filepath.Base(path), strings.Join(wrong, "; "))
	}
	return nil
}

// columns returns the width of a line of a cell as JupyterLab shows it.
func columns(line string) int { return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t") }

// Clean rewrites a notebook without anything that varies from run to run or machine to machine: times, versions, front-end
// settings and, with strip, outputs and execution counts.
func Clean(path string, strip bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	cleaned, err := cleaned(data, strip)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return atomic.Bytes(path, cleaned)
}

func cleaned(data []byte, strip bool) ([]byte, error) {
	var nb map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&nb); err != nil {
		return nil, fmt.Errorf("not a notebook: %w", err)
	}
	meta, _ := nb["metadata"].(map[string]any)
	run := meta["papermill"] // what a run with parameters notes
	meta = map[string]any{
		"kernelspec": map[string]any{"name": "gonb", "display_name": "Go (gonb)", "language": "go"},
		// as the kernel states it; otherwise JupyterLab changes the file on opening it
		"language_info": map[string]any{"name": "go", "file_extension": ".go", "mimetype": "text/x-go", "version": runtime.Version(),
			"codemirror_mode": "", "nbconvert_exporter": "", "pygments_lexer": ""},
	}
	if run != nil && !strip {
		meta["papermill"] = run
	}
	nb["metadata"] = meta
	cells, _ := nb["cells"].([]any)
	for i, c := range cells {
		cell, ok := c.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("cell %d is not an object", i+1)
		}
		tags := map[string]any{}
		if meta, ok := cell["metadata"].(map[string]any); ok && meta["tags"] != nil {
			tags["tags"] = meta["tags"]
		}
		cell["metadata"] = tags
		cell["id"] = fmt.Sprintf("cell-%02d", i+1)
		if cell["cell_type"] == "code" && strip {
			cell["outputs"], cell["execution_count"] = []any{}, nil
		}
		if outputs, ok := cell["outputs"].([]any); ok {
			cell["outputs"] = joined(outputs)
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(nb)
	return out.Bytes(), err
}

// joined merges consecutive texts of the same stream; where they are split depends on timing.
func joined(outputs []any) []any {
	out := []any{}
	for _, o := range outputs {
		now, _ := o.(map[string]any)
		if len(out) > 0 && now["output_type"] == "stream" {
			last, _ := out[len(out)-1].(map[string]any)
			a, isList := last["text"].([]any)
			b, isListToo := now["text"].([]any)
			if last["output_type"] == "stream" && last["name"] == now["name"] && isList && isListToo {
				last["text"] = append(a, b...)
				continue
			}
		}
		out = append(out, o)
	}
	return out
}
