// Package figure draws tables as figures for print, in a single style and three formats, and stores the plotted points next to them.
//
// A Spec says which columns to show and how; [New] combines it with a table; [Save] writes PDF, SVG, PNG, the points as CSV, the spec and a
// manifest. The same spec and table always give the same bytes, so [Check] can redraw a saved figure from its points and compare. Colours
// are those of Okabe and Ito (jfly.uni-koeln.de/color), which are distinguishable with colour-vision deficiency; dashes and markers carry
// the same information in greyscale.
package figure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"stuffed/pkg/table"
)

// Spec describes how to draw a table: [Curves], [SmallMultiples], [HeatMap], [Histograms], [Fit] or [Dots].
type Spec interface {
	kind() string
	columns() []string
	common() Size
	check() error
	sheet(t *table.Table) (*sheet, error)
}

// Size holds the fields common to all specs.
type Size struct {
	Width  string  `json:"width,omitempty"`  // "single" (3.25 in, the default), "double" (6.75 in) or a length such as 88mm
	Height float64 `json:"height,omitempty"` // height of one panel's frame in inches; 0 uses the default of the kind
	Style  *Style  `json:"style,omitempty"`  // nil: the project's style
	Note   string  `json:"note,omitempty"`   // shown below the figure: model, task, trials, seed, device …
}

func (s Size) common() Size { return s }

// width is the width of the drawing without its margin, before scaling to the style's text size.
func (s Size) width() vg.Length {
	w, err := Width(s.Width)
	if err != nil {
		w = Single
	}
	return (w - 2*edge) / s.theme().scale
}

// wide reports whether panels fit side by side.
func (s Size) wide() bool { return s.width() > 5*vg.Inch }

func (s Size) frame(inches float64) vg.Length {
	if s.Height != 0 {
		return vg.Length(s.Height) * vg.Inch / s.theme().scale
	}
	return vg.Length(inches) * vg.Inch
}

// Width parses the width of a figure: single, double, or a number with mm, cm, in or pt, such as 88mm.
func Width(s string) (vg.Length, error) {
	switch s {
	case "", "single":
		return Single, nil
	case "double":
		return Double, nil
	}
	for unit, size := range map[string]vg.Length{"mm": vg.Millimeter, "cm": vg.Centimeter, "in": vg.Inch, "pt": vg.Points(1)} {
		number, found := strings.CutSuffix(s, unit)
		if v, err := strconv.ParseFloat(strings.TrimSpace(number), 64); found && err == nil {
			if w := vg.Length(v) * size; w >= vg.Inch && w <= 20*vg.Inch {
				return w, nil
			}
			return 0, fmt.Errorf("width %q is not between 1 and 20 inches (25 to 508 mm)", s)
		}
	}
	return 0, fmt.Errorf("width %q is neither single, double, nor a number with mm, cm, in or pt, such as 88mm", s)
}

func (s Size) check() error {
	if _, err := Width(s.Width); err != nil {
		return err
	}
	if err := s.Style.check(); err != nil {
		return err
	}
	if s.Height != 0 && !(s.Height >= 0.1 && s.Height <= 9) {
		return fmt.Errorf("height %v is not between 0.1 and 9 inches", s.Height)
	}
	return nil
}

// Figure is a spec with the points that it displays.
type Figure struct {
	Spec   Spec
	Points *table.Table
	sheet  *sheet
}

// New combines a spec with a table and lays the figure out. Points holds only the columns that are displayed. A missing column, an empty
// table and a spec that does not fit the table are errors.
func New(spec Spec, t *table.Table) (*Figure, error) {
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.kind(), err)
	}
	if t == nil || t.Rows() == 0 {
		return nil, fmt.Errorf("%s: the table has no rows; run the command that makes it", spec.kind())
	}
	var names []string
	for _, n := range spec.columns() {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if err := t.Require(names...); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.kind(), err)
	}
	points := table.New()
	for _, n := range names {
		for _, c := range t.Columns {
			if c.Name == n {
				points.Columns = append(points.Columns, c)
			}
		}
	}
	points, err := throughCSV(points)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.kind(), err)
	}
	sheet, err := spec.sheet(points)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.kind(), err)
	}
	th := spec.common().theme()
	f := &Figure{spec, points, scaled(noted(sheet, spec.common().Note, th), th.scale)}
	if err := f.readable(); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.kind(), err)
	}
	return f, nil
}

// Inches returns the printed size of the figure.
func (f *Figure) Inches() (width, height float64) {
	w, h := f.page()
	return float64(w / vg.Inch), float64(h / vg.Inch)
}

func (f *Figure) drawOn(c vg.Canvas) {
	if f.Spec.common().theme().grey {
		c = greyed{c}
	}
	w, h := f.page()
	page := draw.NewCanvas(c, w, h)
	page.FillPolygon(color.White, []vg.Point{
		page.Min, {X: page.Max.X, Y: page.Min.Y}, page.Max, {X: page.Min.X, Y: page.Max.Y}})
	f.sheet.draw(draw.Crop(page, edge, -edge, edge, -edge))
}

func (f *Figure) page() (w, h vg.Length) { return f.sheet.width + 2*edge, f.sheet.height + 2*edge }

// PNG renders the figure; 300 dots per inch are suitable for print.
func (f *Figure) PNG(dpi int) ([]byte, error) {
	if dpi < 20 || dpi > 1200 {
		return nil, fmt.Errorf("%d dots per inch: give 20 to 1200", dpi)
	}
	w, h := f.page()
	c := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dpi))
	f.drawOn(c)
	var out bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&out); err != nil {
		return nil, err
	}
	return withResolution(out.Bytes(), dpi), nil
}

// SVG renders the figure as SVG, with text as outlines unless the style requests text.
func (f *Figure) SVG() ([]byte, error) {
	c := vgsvg.New(f.page())
	if f.Spec.common().theme().svgText {
		f.drawOn(c)
	} else {
		f.drawOn(outlined{c})
	}
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// PDF renders the figure as PDF with embedded fonts.
func (f *Figure) PDF() ([]byte, error) {
	c := newPDF(f.page())
	c.add(f.Spec.common().theme())
	f.drawOn(c)
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// kinds constructs an empty spec of each kind.
var kinds = []func() Spec{
	func() Spec { return &Curves{} },
	func() Spec { return &SmallMultiples{} },
	func() Spec { return &HeatMap{} },
	func() Spec { return &Histograms{} },
	func() Spec { return &Fit{} },
	func() Spec { return &Dots{} },
}

type specFile struct {
	Kind string          `json:"kind"`
	Spec json.RawMessage `json:"spec"`
}

func encodeSpec(s Spec) ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return indented(specFile{s.kind(), raw})
}

func decodeSpec(data []byte) (Spec, error) {
	var file specFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	var known []string
	for _, make := range kinds {
		s := make()
		if known = append(known, s.kind()); s.kind() != file.Kind {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(file.Spec))
		d.DisallowUnknownFields()
		return s, d.Decode(s)
	}
	return nil, fmt.Errorf("kind %q is not one of %s", file.Kind, strings.Join(known, ", "))
}

func indented(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return out.Bytes(), err
}

var errNothing = errors.New("no value can be shown: all are missing, or not positive on a logarithmic axis")

// finite counts the pairs that both axes can display.
func finite(x, y Axis, xs, ys []float64) int {
	n := 0
	for i := range xs {
		if x.shows(xs[i]) && y.shows(ys[i]) {
			n++
		}
	}
	return n
}

// span returns all values that determine the range of an axis, marks included.
func span(values [][]float64, marks []Mark, horizontal bool) []float64 {
	var out []float64
	for _, v := range values {
		out = append(out, v...)
	}
	for _, m := range marks {
		if m.Horizontal == horizontal && !math.IsInf(m.At, 0) {
			out = append(out, m.At)
		}
	}
	return out
}
