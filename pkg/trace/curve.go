package trace

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/interval"
	"stuffed/pkg/table"
)

// latest lists the columns whose value is that at the end of a row, not a mean over its tokens.
var latest = append([]string{"absmax", "top_share", "log_retention", "retention"}, rankColumns...)

// Curves averages quantities of a trace table over prompts, within intervals of positions that grow geometrically: perOctave of them per
// doubling. Columns of the result: quantity (column name), read (tokens read at the end of the interval), whichever of layer, head, part,
// channel and state the table has, value, low and high (95 % by Student's t over prompts, NaN for a single prompt), prompts. Within an
// interval a prompt contributes the mean over its tokens or, for absmax, top_share, ranks and retention, the last value.
func Curves(t *table.Table, perOctave int, quantities ...string) (*table.Table, error) {
	if perOctave < 1 {
		return nil, fmt.Errorf("trace: %d points per octave, want 1 or more", perOctave)
	}
	if err := t.Require(append([]string{"prompt", "position"}, quantities...)...); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	prompts, err := t.Text("prompt")
	if err != nil {
		return nil, err
	}
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	tokens := slices.Repeat([]int64{1}, len(position))
	if t.Has("tokens") {
		if tokens, err = t.Int("tokens"); err != nil {
			return nil, err
		}
	}
	keys, err := keysOf(t)
	if err != nil {
		return nil, err
	}
	groups := newGroups(keys, prompts, position, tokens, perOctave)
	out := table.New()
	for _, q := range quantities {
		v, err := t.Float(q)
		if err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		if err := out.Append(groups.curve(q, v, tokens, slices.Contains(latest, q))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keysOf returns the columns that distinguish the rows of one position.
func keysOf(t *table.Table) (all []table.Column, err error) {
	for _, name := range []string{"layer", "head", "part", "channel", "state"} {
		if !t.Has(name) {
			continue
		}
		c := table.Column{Name: name}
		if name == "part" {
			c.Texts, err = t.Text(name)
		} else {
			c.Ints, err = t.Int(name)
		}
		if err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// groups holds the rows of each interval, in order of first appearance.
type groups struct {
	keys []table.Column
	all  []*group
}

type group struct {
	first   int              // index of its first row
	read    int64            // tokens read at its end
	prompts map[string][]int // row indices
	names   []string
}

func newGroups(keys []table.Column, prompts []string, position, tokens []int64, perOctave int) groups {
	type id struct {
		key string
		run int
	}
	at, g := map[id]*group{}, groups{keys: keys}
	for row := range position {
		key := ""
		for _, k := range keys {
			if k.Texts != nil {
				key += k.Texts[row] + "/"
			} else {
				key += fmt.Sprint(k.Ints[row], "/")
			}
		}
		end := position[row] + tokens[row]
		i := id{key, int(math.Ceil(float64(perOctave)*math.Log2(float64(end)) - 1e-9))}
		r := at[i]
		if r == nil {
			r = &group{first: row, prompts: map[string][]int{}}
			at[i], g.all = r, append(g.all, r)
		}
		if r.prompts[prompts[row]] == nil {
			r.names = append(r.names, prompts[row])
		}
		r.prompts[prompts[row]] = append(r.prompts[prompts[row]], row)
		r.read = max(r.read, end)
	}
	return g
}

// curvePlace and curveValue together are one point of a curve; the key columns stand between them.
type curvePlace struct {
	Quantity string `parquet:"quantity" doc:"column that the curve is of"`
	Read     int64  `parquet:"read" doc:"tokens read"`
}

type curveValue struct {
	Value   float64 `parquet:"value" doc:"mean over prompts"`
	Low     float64 `parquet:"low" doc:"lower end of its 95 % interval"`
	High    float64 `parquet:"high" doc:"upper end"`
	Prompts int     `parquet:"prompts" doc:"number of prompts"`
}

// curve returns the points of one quantity.
func (g groups) curve(name string, v []float64, tokens []int64, last bool) *table.Table {
	n := len(g.all)
	places, values, first := make([]curvePlace, n), make([]curveValue, n), make([]int, n)
	for i, r := range g.all {
		var means []float64
		for _, p := range r.names {
			rows := r.prompts[p]
			sum, weight := 0.0, 0.0
			for _, row := range rows {
				sum, weight = sum+v[row]*float64(tokens[row]), weight+float64(tokens[row])
			}
			if sum /= weight; last {
				sum = v[rows[len(rows)-1]]
			}
			if !math.IsNaN(sum) {
				means = append(means, sum)
			}
		}
		mean, low, high := interval.Student(means)
		places[i], values[i], first[i] = curvePlace{name, r.read}, curveValue{mean, low, high, len(means)}, r.first
	}
	t := table.Of(places)
	for _, k := range g.keys {
		if k.Texts != nil {
			texts := make([]string, n)
			for i, row := range first {
				texts[i] = k.Texts[row]
			}
			t.AddText(k.Name, texts)
			continue
		}
		ints := make([]int64, n)
		for i, row := range first {
			ints[i] = k.Ints[row]
		}
		t.AddInt(k.Name, ints)
	}
	return t.Beside(table.Of(values))
}
