package figure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Changes turn a saved figure into another one: a style file, and values to set in its spec.
type Changes struct {
	Style
	Width  string   `json:"width,omitempty"`
	Height float64  `json:"height,omitempty"`
	Set    []string `json:"set,omitempty"` // path=value within the spec, such as y.scale=log10 or x.min=16
}

// ReadChanges reads a style file; an empty path means no changes.
func ReadChanges(path string) (c Changes, err error) {
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("style: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("style %s: %w; it has width, height, font, size, palette, grey, language, words, svg_text and set", path, err)
	}
	return c, nil
}

// With returns a figure of the same points with a changed spec.
func (f *Figure) With(c Changes) (*Figure, error) {
	raw, err := encodeSpec(f.Spec)
	if err != nil {
		return nil, err
	}
	var file struct {
		Kind string         `json:"kind"`
		Spec map[string]any `json:"spec"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	if c.Width != "" {
		file.Spec["width"] = c.Width
	}
	if c.Height != 0 {
		file.Spec["height"] = c.Height
	}
	c.Font = near(c.Font)
	file.Spec["style"] = c.Style
	for _, s := range c.Set {
		if err := set(file.Spec, s); err != nil {
			return nil, err
		}
	}
	if raw, err = json.Marshal(file); err != nil {
		return nil, err
	}
	spec, err := decodeSpec(raw)
	if err != nil {
		return nil, err
	}
	return New(spec, f.Points)
}

// near returns a font file's path relative to the working directory, since a spec must not contain absolute paths.
func near(font string) string {
	if !filepath.IsAbs(font) {
		return font
	}
	here, err := os.Getwd()
	if err != nil {
		return font
	}
	path, err := filepath.Rel(here, font)
	if err != nil {
		return font
	}
	return path
}

// set assigns one value in a spec: path=value, where the value is JSON or otherwise plain text.
func set(spec map[string]any, assignment string) error {
	path, text, found := strings.Cut(assignment, "=")
	if !found {
		return fmt.Errorf("set %q: must be path=value, such as y.scale=log10", assignment)
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		value = text
	}
	steps := strings.Split(path, ".")
	for _, s := range steps[:len(steps)-1] {
		next, ok := spec[s].(map[string]any)
		if !ok {
			return fmt.Errorf("set %q: the spec has no %s with parts", assignment, s)
		}
		spec = next
	}
	spec[steps[len(steps)-1]] = value
	return nil
}

// Restyle redraws a saved figure with changes into another folder.
func Restyle(dir, id, output string, c Changes) error {
	f, manifest, err := Load(dir, id)
	if err != nil {
		return err
	}
	if f, err = f.With(c); err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	return Save(output, id, f, manifest)
}
