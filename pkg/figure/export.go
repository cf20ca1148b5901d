package figure

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"

	"stuffed/pkg/table"
)

// redraw is a Python program (matplotlib, pandas) that draws a figure from its points and spec.
//
//go:embed redraw.py
var redraw []byte

// Export writes to output/id what other programs need to draw a saved figure: id.vl.json, a Vega-Lite spec with its data (see
// [Figure.VegaLite]), id.csv, spec.json, and redraw.py.
func Export(dir, id, output string) error {
	f, _, err := Load(dir, id)
	if err != nil {
		return err
	}
	files := map[string][]byte{"redraw.py": redraw}
	spec, err := f.VegaLite()
	if err == nil {
		files[id+".vl.json"], err = indented(spec)
	}
	if err != nil {
		return fmt.Errorf("figure %s: %w", id, err)
	}
	for _, name := range []string{id + ".csv", specName} {
		if files[name], err = os.ReadFile(filepath.Join(dir, id, name)); err != nil {
			return err
		}
	}
	return writeFolder(filepath.Join(output, id), files)
}

type object = map[string]any

// VegaLite returns the figure as a Vega-Lite spec (version 6) with inline data: interactive in any Vega-Lite viewer, and a starting point
// for changes that this package does not offer.
func (f *Figure) VegaLite() (map[string]any, error) {
	var spec object
	var series []string
	var format string
	var marks []Mark
	switch s := pointed(f.Spec).(type) {
	case *Curves:
		series, format, marks = s.Series, s.Name, s.Marks
		spec = unit(s.curves(), marks, false)
		if s.Panel != "" {
			spec = object{"facet": object{"field": s.Panel, "type": "nominal", "title": nil, "sort": nil}, "columns": max(s.Across, 2), "spec": spec}
			if s.FreeY {
				spec["resolve"] = object{"scale": object{"y": "independent"}}
			}
		}
	case *SmallMultiples:
		series, format, marks = s.Series, s.Name, s.Marks
		c := Curves{X: s.X, Y: s.Y, Lo: s.Lo, Hi: s.Hi, Series: s.Series}
		spec = object{"facet": object{"row": object{"field": s.Row, "title": s.RowName}, "column": object{"field": s.Column, "title": s.ColName}}, "spec": unit(c.curves(), marks, false)}
		if s.ByRow {
			spec["resolve"] = object{"scale": object{"y": "independent"}}
		}
	case *HeatMap:
		x, y, colour := f.ordinal(s.X), f.ordinal(s.Y), s.Value.channel(object{"legend": object{"format": ".3~g"}})
		colour["scale"].(object)["scheme"] = "viridis"
		rect := object{"mark": "rect", "encoding": object{"x": x, "y": y, "color": colour, "tooltip": tips(s.X, s.Y, s.Value)}}
		layers := []object{rect}
		if s.Cell != "" {
			for _, mark := range []object{{"type": "text", "stroke": "white", "strokeWidth": 3}, {"type": "text"}} { // legible on any colour
				layers = append(layers, object{"mark": mark, "encoding": object{"x": x, "y": y, "text": object{"field": s.Cell}}})
			}
		}
		spec = object{"layer": layers, "width": object{"step": 44}, "height": object{"step": 22}}
	case *Histograms:
		series, format, marks = s.Series, s.Name, s.Marks
		x := s.X
		x.Column = s.Left
		steps := object{"mark": object{"type": "line", "interpolate": "step-after"}, "encoding": coloured(object{"x": x.channel(nil), "y": s.Count.channel(nil)}, series)}
		if s.Count.Scale == Log2 || s.Count.Scale == Log10 { // empty bins are drawn below bins with one entry
			steps["transform"] = []object{{"calculate": fmt.Sprintf("max(datum[%q], 0.5)", s.Count.Column), "as": s.Count.Column}}
		}
		spec = unit([]object{steps}, marks, false)
	case *Fit:
		series, marks = []string{"name"}, s.Marks
		spec = unit(s.layers(), marks, false)
	case *Dots:
		series, format, marks = s.Series, s.Name, s.Marks
		y := object{"field": s.Category, "type": "nominal", "sort": nil, "title": nil}
		layers := []object{{"mark": object{"type": "point", "filled": true}, "encoding": coloured(object{"x": s.X.channel(nil), "y": y, "tooltip": append(tips(s.X), object{"field": s.Category})}, series)}}
		if s.Lo != "" {
			layers = append(layers, object{"mark": "rule", "encoding": coloured(object{"x": s.X.at(s.Lo), "x2": object{"field": s.Hi}, "y": y}, series)})
		}
		spec = unit(layers, marks, true)
	default:
		return nil, fmt.Errorf("kind %s cannot be written as Vega-Lite", f.Spec.kind())
	}
	rows, err := f.rows(series, format)
	if err != nil {
		return nil, err
	}
	spec["$schema"] = "https://vega.github.io/schema/vega-lite/v6.json"
	spec["data"] = object{"values": rows}
	if note := f.Spec.common().Note; note != "" {
		spec["title"] = object{"text": note, "orient": "bottom", "anchor": "start", "fontSize": 10, "fontWeight": "normal"}
	}
	return spec, nil
}

// pointed returns a pointer to the spec, or the spec itself if it is a pointer.
func pointed(s Spec) Spec {
	v := reflect.ValueOf(s)
	if v.Kind() == reflect.Pointer {
		return s
	}
	to := reflect.New(v.Type())
	to.Elem().Set(v)
	return to.Interface().(Spec)
}

// unit is a layered chart with marks drawn across it.
func unit(layers []object, marks []Mark, upright bool) object {
	for _, m := range marks {
		channel := "x"
		if m.Horizontal && !upright {
			channel = "y"
		}
		layers = append(layers, object{"data": object{"values": []object{{"label": m.Label}}}, "mark": object{"type": "rule", "strokeDash": []int{4, 3}, "color": "#606060"},
			"encoding": object{channel: object{"datum": m.At}, "tooltip": object{"field": "label"}}})
	}
	return object{"layer": layers}
}

func (s Curves) curves() (layers []object) {
	if s.Lo != "" {
		layers = append(layers, object{"mark": object{"type": "area", "opacity": 0.2}, "encoding": coloured(object{"x": s.X.channel(nil), "y": s.Y.at(s.Lo), "y2": object{"field": s.Hi}}, s.Series)})
	}
	mark := object{"type": "line", "point": true}
	if s.Scatter {
		mark = object{"type": "point", "filled": true}
	}
	return append(layers, object{"mark": mark, "encoding": coloured(object{"x": s.X.channel(nil), "y": s.Y.channel(nil), "tooltip": tips(s.X, s.Y)}, s.Series)})
}

func (s Fit) layers() []object {
	x, y := s.X, s.Y
	x.Column, y.Column = "x", "y"
	only := func(part string) []object { return []object{{"filter": object{"field": "part", "equal": part}}} }
	names := []string{"name"}
	return []object{
		{"transform": only("curve"), "mark": object{"type": "area", "opacity": 0.2}, "encoding": coloured(object{"x": x.channel(nil), "y": y.at("lo"), "y2": object{"field": "hi"}}, names)},
		{"transform": only("curve"), "mark": "line", "encoding": coloured(object{"x": x.channel(nil), "y": y.channel(nil)}, names)},
		{"transform": only("point"), "mark": "rule", "encoding": coloured(object{"x": x.channel(nil), "y": y.at("lo"), "y2": object{"field": "hi"}}, names)},
		{"transform": only("point"), "mark": object{"type": "point", "filled": true}, "encoding": coloured(object{"x": x.channel(nil), "y": y.channel(nil), "tooltip": tips(x, y)}, names)},
	}
}

func coloured(encoding object, series []string) object {
	if len(series) > 0 {
		encoding["color"] = object{"field": "series", "type": "nominal", "sort": nil, "title": nil}
	}
	return encoding
}

// title is the label with its unit.
func (a Axis) title() string { return (&ruler{Axis: a}).title() }

// channel returns the axis as a Vega-Lite encoding channel.
func (a Axis) channel(more object) object {
	scale := object{"zero": false}
	switch a.Scale {
	case Log2:
		scale = object{"type": "log", "base": 2}
	case Log10:
		scale = object{"type": "log"}
	}
	if a.Min != nil {
		scale["domainMin"] = *a.Min
	}
	if a.Max != nil {
		scale["domainMax"] = *a.Max
	}
	out := object{"field": a.Column, "type": "quantitative", "title": a.title(), "scale": scale}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// at is the channel of another column on the same axis.
func (a Axis) at(column string) object { return a.channel(object{"field": column}) }

// ordinal is a categorical axis: numbers are sorted, text keeps its order of first appearance.
func (f *Figure) ordinal(a Axis) object {
	out := object{"field": a.Column, "type": "ordinal", "title": a.title(), "sort": nil}
	if _, err := f.Points.Float(a.Column); err == nil {
		out["sort"] = "ascending"
	}
	return out
}

func tips(axes ...Axis) (out []object) {
	for _, a := range axes {
		out = append(out, object{"field": a.Column, "title": a.Label})
	}
	return out
}

// rows returns the points as objects that include the name of their series; values that an axis cannot display become null.
func (f *Figure) rows(series []string, format string) ([]object, error) {
	rows := make([]object, f.Points.Rows())
	for i := range rows {
		rows[i] = object{}
	}
	for _, c := range f.Points.Columns {
		for i := range rows {
			rows[i][c.Name] = value(c, i)
		}
	}
	if len(series) == 0 {
		return rows, nil
	}
	all, err := groups(f.Points, allRows(f.Points), series, format)
	if err != nil {
		return nil, err
	}
	for _, g := range all {
		for _, r := range g.rows {
			rows[r]["series"] = g.name
		}
	}
	return rows, nil
}

func value(c table.Column, i int) any {
	switch {
	case c.Ints != nil:
		return c.Ints[i]
	case c.Floats != nil:
		if math.IsNaN(c.Floats[i]) || math.IsInf(c.Floats[i], 0) {
			return nil
		}
		return c.Floats[i]
	}
	return c.Texts[i]
}
