package notebook

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The cell tagged parameters declares what a run may set. The values of a run go into a cell tagged injected-parameters after it,
// as papermill does, which replaces the declarations.

// ParseParameters reads NAME=VALUE pairs.
func ParseParameters(pairs []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("parameter %q: want NAME=VALUE, such as length=65536", p)
		}
		out[name] = value
	}
	return out, nil
}

// withParameters returns the notebook with a cell that sets the values.
func withParameters(data []byte, values map[string]string) ([]byte, error) {
	if len(values) == 0 {
		return data, nil
	}
	var nb map[string]any
	if err := json.Unmarshal(data, &nb); err != nil {
		return nil, err
	}
	cells, _ := nb["cells"].([]any)
	for i, c := range cells {
		cell, _ := c.(map[string]any)
		if !tagged(cell, "parameters") {
			continue
		}
		code, err := settings(sourceText(cell["source"]), values)
		if err != nil {
			return nil, err
		}
		injected := map[string]any{"cell_type": "code", "id": "injected-parameters", "metadata": map[string]any{"tags": []string{"injected-parameters"}},
			"source": code, "outputs": []any{}, "execution_count": nil}
		nb["cells"] = slices.Insert(cells, i+1, any(injected))
		meta, _ := nb["metadata"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
			nb["metadata"] = meta
		}
		meta["papermill"] = map[string]any{"parameters": values}
		return json.Marshal(nb)
	}
	return nil, fmt.Errorf("no cell has the tag parameters")
}

// settings writes declarations of the values. A name that the cell does not declare is an error that lists those it does.
func settings(source string, values map[string]string) (string, error) {
	known, err := declared(source)
	if err != nil {
		return "", fmt.Errorf("the cell with the tag parameters: %w", err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return "", fmt.Errorf("no parameter %q; there are %s", name, strings.Join(known, ", "))
		}
		lines = append(lines, fmt.Sprintf("var %s = %s", name, literal(values[name])))
	}
	return strings.Join(lines, "\n"), nil
}

// declared returns the variables that a cell declares outside its functions.
func declared(source string) (names []string, err error) {
	for _, text := range parts(source) {
		f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, name := range s.(*ast.ValueSpec).Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names, nil
}

// literal writes a value as Go source: numbers, true, false and lists in braces unchanged, anything else as a string.
func literal(value string) string {
	if _, err := strconv.ParseFloat(value, 64); err == nil || value == "true" || value == "false" || strings.HasPrefix(value, "[]") || strings.HasPrefix(value, `"`) {
		return value
	}
	return strconv.Quote(value)
}

func tagged(cell map[string]any, tag string) bool {
	meta, _ := cell["metadata"].(map[string]any)
	tags, _ := meta["tags"].([]any)
	return slices.Contains(tags, any(tag))
}

// sourceText returns the source of a cell, which may be one string or a list of lines.
func sourceText(source any) string {
	if s, ok := source.(string); ok {
		return s
	}
	var out strings.Builder
	lines, _ := source.([]any)
	for _, l := range lines {
		s, _ := l.(string)
		out.WriteString(s)
	}
	return out.String()
}
