package view

import (
	"errors"
	"fmt"
	"math"

	"stuffed/pkg/table"
)

type object = map[string]any

// most is the number of rows that a chart carries; of larger tables every so many are taken.
const most = 30000

// chart is the beginning of every spec.
func chart(title string, rows []object) object {
	return object{"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "title": title, "data": object{"values": rows},
		"config": object{"view": object{"stroke": "#888"}, "range": object{"heatmap": object{"scheme": "viridis"}}}}
}

// rowsOf are the rows of some columns; values that are not finite are left out.
func rowsOf(t *table.Table, names ...string) ([]object, error) {
	if err := t.Require(names...); err != nil {
		return nil, err
	}
	if t.Rows() == 0 {
		return nil, errors.New("the table has no rows")
	}
	rows := make([]object, t.Rows())
	for i := range rows {
		rows[i] = object{}
	}
	for _, name := range names {
		if values, err := t.Float(name); err == nil {
			for i, v := range values {
				if !math.IsNaN(v) && !math.IsInf(v, 0) {
					rows[i][name] = v
				}
			}
			continue
		}
		values, err := t.Text(name)
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			rows[i][name] = v
		}
	}
	return rows, nil
}

func quantitative(field, title string) object {
	return object{"field": field, "type": "quantitative", "title": title}
}

func ordinal(field string) object { return object{"field": field, "type": "ordinal"} }

// scaled sets a logarithmic scale where all values are positive and far apart.
func scaled(axis object, t *table.Table, column string) object {
	values, err := t.Float(column)
	if err != nil {
		return axis
	}
	lo, hi := math.Inf(1), 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	scale := object{"zero": false}
	if lo > 0 && hi > 30*lo {
		scale = object{"type": "log"}
	}
	axis["scale"] = scale
	return axis
}

// HeadMap is a map of layers × heads of a table of states (see trace.Collect): the colour is the quantity after the last token, hovering
// shows the value, and a click shows the curve of that head beside it.
func HeadMap(states *table.Table, quantity, label string) (View, error) {
	rows, err := rowsOf(states, "prompt", "position", "layer", "head", quantity)
	if err != nil {
		return View{}, fmt.Errorf("head map: %w", err)
	}
	every := (len(rows) + most - 1) / most
	rows, last := thinned(rows, every)
	title := label + " of every head"
	spec := chart(title, rows)
	delete(spec, "data")
	spec["hconcat"] = []object{
		{"data": object{"values": last}, "mark": object{"type": "rect", "cursor": "pointer"}, "width": object{"step": 22}, "height": object{"step": 22},
			"params": []object{{"name": "pick", "select": object{"type": "point", "fields": []string{"layer", "head"}}, "value": object{"layer": last[0]["layer"], "head": last[0]["head"]}}},
			"encoding": object{"x": ordinal("head"), "y": ordinal("layer"), "color": scaled(object{"field": quantity, "type": "quantitative", "aggregate": "mean", "title": label}, states, quantity),
				"stroke":  object{"condition": object{"param": "pick", "empty": false, "value": "red"}, "value": nil},
				"tooltip": []object{ordinal("layer"), ordinal("head"), {"field": quantity, "type": "quantitative", "aggregate": "mean", "format": ".4g", "title": label + ", last"}}}},
		{"data": object{"values": rows}, "transform": []object{{"filter": object{"param": "pick"}}}, "mark": object{"type": "line", "point": object{"size": 14}}, "width": 420, "height": 240,
			"params": zoom("near"),
			"encoding": object{"x": quantitative("position", "Position (tokens)"), "y": scaled(quantitative(quantity, label), states, quantity), "color": object{"field": "prompt", "type": "nominal"},
				"tooltip": []object{{"field": "prompt"}, ordinal("layer"), ordinal("head"), {"field": "position", "type": "quantitative"}, {"field": quantity, "type": "quantitative", "format": ".4g"}}}},
	}
	return View{Title: title, Spec: spec}, nil
}

// thinned takes every so many positions, and the rows of the last position of each prompt and head.
func thinned(rows []object, every int) (some, last []object) {
	type head [3]any
	ends, counts := map[head]int{}, map[head]int{}
	for i, r := range rows {
		h := head{r["prompt"], r["layer"], r["head"]}
		if counts[h]%every == 0 {
			some = append(some, r)
		}
		counts[h]++
		ends[h] = i
	}
	for i, r := range rows {
		if ends[head{r["prompt"], r["layer"], r["head"]}] == i {
			last = append(last, r)
		}
	}
	return some, last
}

// zoom lets the wheel and dragging move the axes.
func zoom(name string) []object {
	return []object{{"name": name, "select": object{"type": "interval", "encodings": []string{"x"}}, "bind": "scales"}}
}

// Lines are curves of y over x, one for each value of by (a column, such as run or kind): hovering shows values, the wheel zooms and a
// click in the legend keeps one curve.
func Lines(t *table.Table, x, xLabel, y, yLabel, by string) (View, error) {
	rows, err := rowsOf(t, x, y, by)
	if err != nil {
		return View{}, fmt.Errorf("lines: %w", err)
	}
	rows = sampled(rows)
	spec := chart(yLabel, rows)
	spec["width"], spec["height"] = 620, 300
	spec["mark"] = object{"type": "line", "point": object{"size": 16}}
	spec["params"] = append(zoom("zoom"), object{"name": "chosen", "select": object{"type": "point", "fields": []string{by}}, "bind": "legend"})
	spec["encoding"] = object{"x": quantitative(x, xLabel), "y": scaled(quantitative(y, yLabel), t, y), "color": object{"field": by, "type": "nominal"},
		"opacity": object{"condition": object{"param": "chosen", "value": 1}, "value": 0.1},
		"tooltip": []object{{"field": by}, {"field": x, "type": "quantitative"}, {"field": y, "type": "quantitative", "format": ".5g"}}}
	return View{Title: yLabel, Spec: spec}, nil
}

// Together shows losses (prompt, position, loss) above states (prompt, position, layer, head, quantity) on one axis of tokens, which the
// wheel zooms for both.
func Together(losses, states *table.Table, quantity, label string) (View, error) {
	above, err := rowsOf(losses, "prompt", "position", "loss")
	if err != nil {
		return View{}, fmt.Errorf("losses: %w", err)
	}
	below, err := rowsOf(states, "prompt", "position", "layer", "head", quantity)
	if err != nil {
		return View{}, fmt.Errorf("states: %w", err)
	}
	for _, r := range below {
		r["which"] = fmt.Sprintf("%v.%v", r["layer"], r["head"])
	}
	title := "Loss and " + label + " on one axis"
	spec := chart(title, nil)
	delete(spec, "data")
	spec["resolve"] = object{"scale": object{"x": "shared", "color": "independent"}}
	position := quantitative("position", "Position (tokens)")
	spec["vconcat"] = []object{
		{"data": object{"values": sampled(above)}, "width": 620, "height": 140, "mark": object{"type": "line", "point": object{"size": 12}}, "params": zoom("zoom"),
			"encoding": object{"x": position, "y": object{"field": "loss", "type": "quantitative", "title": "Loss (nat/token)", "scale": object{"zero": false}}, "color": object{"field": "prompt", "type": "nominal"},
				"tooltip": []object{{"field": "prompt"}, {"field": "position", "type": "quantitative"}, {"field": "loss", "type": "quantitative", "format": ".4g"}}}},
		{"data": object{"values": sampled(below)}, "width": 620, "height": 240, "mark": object{"type": "line", "strokeWidth": 1}, "params": zoom("under"),
			"encoding": object{"x": position, "y": scaled(quantitative(quantity, label), states, quantity), "detail": object{"field": "prompt"}, "color": object{"field": "which", "type": "nominal", "title": "layer.head", "legend": object{"columns": 4, "symbolLimit": 64}},
				"tooltip": []object{{"field": "which", "title": "layer.head"}, {"field": "prompt"}, {"field": "position", "type": "quantitative"}, {"field": quantity, "type": "quantitative", "format": ".4g"}}}},
	}
	return View{Title: title, Spec: spec}, nil
}

func sampled(rows []object) []object {
	every := (len(rows) + most - 1) / most
	if every <= 1 {
		return rows
	}
	var out []object
	for i := 0; i < len(rows); i += every {
		out = append(out, rows[i])
	}
	return out
}
