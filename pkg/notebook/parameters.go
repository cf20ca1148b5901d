package notebook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
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
		code, given, err := settings(sourceText(cell["source"]), values)
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
		meta["papermill"] = map[string]any{"parameters": given}
		return json.Marshal(nb)
	}
	return nil, fmt.Errorf("no cell has the tag parameters")
}

// ran records in a notebook run with parameters, as papermill does, its input and output paths, start, end and duration.
func ran(data []byte, input, output string, start, end time.Time) ([]byte, error) {
	var nb map[string]any
	if err := json.Unmarshal(data, &nb); err != nil {
		return nil, err
	}
	meta, _ := nb["metadata"].(map[string]any)
	run, ok := meta["papermill"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the executed notebook has lost its parameters")
	}
	run["input_path"], run["output_path"], run["exception"] = input, output, nil
	run["start_time"], run["end_time"], run["duration"] = start.UTC().Format(time.RFC3339Nano), end.UTC().Format(time.RFC3339Nano), end.Sub(start).Seconds()
	return json.Marshal(nb)
}

func tagged(cell map[string]any, tag string) bool {
	meta, _ := cell["metadata"].(map[string]any)
	tags, _ := meta["tags"].([]any)
	return slices.Contains(tags, any(tag))
}

// sourceText is a source that may be one text or a list of lines.
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
