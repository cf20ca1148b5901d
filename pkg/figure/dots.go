package figure

import (
	"fmt"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/table"
)

// Dots compares values with intervals: one line per category, one dot per series.
type Dots struct {
	Size
	Category string   `json:"category"` // column whose values label the lines, top to bottom
	X        Axis     `json:"x"`        // the value
	Lo       string   `json:"lo,omitempty"`
	Hi       string   `json:"hi,omitempty"`
	Series   []string `json:"series,omitempty"`
	Name     string   `json:"name,omitempty"`
	Marks    []Mark   `json:"marks,omitempty"` // vertical lines, such as chance
}

func (s Dots) kind() string { return "dots" }

func (s Dots) columns() []string {
	return append([]string{s.Category, s.X.Column, s.Lo, s.Hi}, s.Series...)
}

func (s Dots) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	if s.Category == "" {
		return fmt.Errorf("category names no column")
	}
	if (s.Lo == "") != (s.Hi == "") {
		return fmt.Errorf("lo %q and hi %q: give both or none", s.Lo, s.Hi)
	}
	return s.X.check("x")
}

func (s Dots) sheet(t *table.Table) (*sheet, error) {
	n, err := numbers(t, s.X.Column, s.Lo, s.Hi)
	if err != nil {
		return nil, err
	}
	x, lo, hi := n[0], n[1], n[2]
	if finite(s.X, s.X, x, x) == 0 {
		return nil, errNothing
	}
	names, err := t.Text(s.Category)
	if err != nil {
		return nil, err
	}
	lines, err := groups(t, allRows(t), []string{s.Category}, "")
	if err != nil {
		return nil, err
	}
	place := map[string]int{}
	for i, l := range lines {
		place[l.key] = i
	}
	series, err := groups(t, allRows(t), s.Series, s.Name)
	if err != nil {
		return nil, err
	}
	step := max(11, 5*float64(len(series))+4)
	th := s.theme()
	g := &grid{theme: th, width: s.width(), frame: s.frame(step * float64(len(lines)) / 72)}
	for i, sr := range series {
		g.legend.entries = append(g.legend.entries, entry{sr.name, th.look(i, len(series)), true})
	}
	y := ruler{min: -0.5, max: float64(len(lines)) - 0.5}
	for i, l := range lines {
		y.ticks = append(y.ticks, tick{float64(len(lines) - 1 - i), l.name})
	}
	p := &panel{theme: th, x: s.X.rule(span([][]float64{x, lo, hi}, s.Marks, false), 6, 0.04), y: y, marks: s.Marks, untitledY: true}
	p.paint = func(a area) {
		faint := draw.LineStyle{Color: rule, Width: vg.Points(0.3)}
		for i := 1; i < len(lines); i++ {
			at := a.py(float64(i) - 0.5)
			a.StrokeLine2(faint, a.Min.X, at, a.Max.X, at)
		}
		for i, sr := range series {
			l := th.look(i, len(series))
			shift := (float64(len(series)-1)/2 - float64(i)) * 0.8 / float64(max(len(series), 2))
			for _, r := range sr.rows {
				a.dot(x, lo, hi, r, a.py(float64(len(lines)-1-place[names[r]])+shift), l)
			}
		}
	}
	g.panels = [][]*panel{{p}}
	return g.sheet()
}

func (a area) dot(x, lo, hi []float64, r int, y vg.Length, l look) {
	if lo != nil && a.x.shows(lo[r]) && a.x.shows(hi[r]) {
		bar := draw.LineStyle{Color: l.color, Width: vg.Points(0.9)}
		from, to := max(a.px(lo[r]), a.Min.X), min(a.px(hi[r]), a.Max.X)
		a.StrokeLine2(bar, from, y, to, y)
		a.StrokeLine2(bar, from, y-1.6, from, y+1.6)
		a.StrokeLine2(bar, to, y-1.6, to, y+1.6)
	}
	if a.x.shows(x[r]) {
		if pt := (vg.Point{X: a.px(x[r]), Y: y}); a.Contains(pt) {
			a.DrawGlyphNoClip(l.glyph(), pt)
		}
	}
}
