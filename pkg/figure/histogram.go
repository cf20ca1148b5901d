package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"

	"stuffed/pkg/table"
)

// Histograms draws counts over common bin edges as outlines, one per series: a row holds the left and right edge of a bin and its count.
// [Bin] makes such a table from values.
type Histograms struct {
	Size
	Left   string   `json:"left"` // columns of the bin edges; X gives their label, unit and scale
	Right  string   `json:"right"`
	X      Axis     `json:"x"` // Column may stay empty
	Count  Axis     `json:"count"`
	Series []string `json:"series,omitempty"`
	Name   string   `json:"name,omitempty"`
	Marks  []Mark   `json:"marks,omitempty"`
}

func (s Histograms) kind() string { return "histograms" }

func (s Histograms) columns() []string {
	return append(append([]string{}, s.Series...), s.Left, s.Right, s.Count.Column)
}

func (s Histograms) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	if s.Left == "" || s.Right == "" {
		return fmt.Errorf("left %q and right %q: both name a column", s.Left, s.Right)
	}
	x := s.X
	x.Column = s.Left
	return checkAxes(x, s.Count)
}

func (s Histograms) sheet(t *table.Table) (*sheet, error) {
	n, err := numbers(t, s.Left, s.Right, s.Count.Column)
	if err != nil {
		return nil, err
	}
	left, right, count := n[0], n[1], n[2]
	for i := range left {
		if !(left[i] < right[i]) {
			return nil, fmt.Errorf("row %d: left edge %v is not below right edge %v", i+1, left[i], right[i])
		}
		if count[i] < 0 {
			return nil, fmt.Errorf("row %d: count %v is negative", i+1, count[i])
		}
	}
	if finite(s.X, s.Count, left, count) == 0 {
		return nil, errNothing
	}
	series, err := groups(t, allRows(t), s.Series, s.Name)
	if err != nil {
		return nil, err
	}
	y := s.Count
	if y.Min == nil && !y.log() {
		zero := 0.0
		y.Min = &zero
	}
	if y.Min == nil && y.log() { // empty bins sit on the floor, below the smallest count
		floor := math.Inf(1)
		for _, c := range count {
			if c > 0 {
				floor = min(floor, c/2)
			}
		}
		y.Min = &floor
	}
	th := s.theme()
	g := &grid{theme: th, width: s.width(), frame: s.frame(1.8)}
	for i, sr := range series {
		l := th.look(i, len(series))
		l.marker = nil
		g.legend.entries = append(g.legend.entries, entry{name: sr.name, look: l})
	}
	g.legend.addMarks(s.Marks)
	p := &panel{
		theme: th,
		x:     s.X.rule(span([][]float64{left, right}, s.Marks, false), 6, 0.01),
		y:     y.rule(span([][]float64{count}, s.Marks, true), max(3, int(g.frame/(0.3*vg.Inch))), 0.05),
		marks: s.Marks,
	}
	p.paint = func(a area) {
		for i, sr := range series {
			a.steps(pick(left, sr.rows), pick(right, sr.rows), pick(count, sr.rows), th.look(i, len(series)), len(series) == 1)
		}
	}
	g.panels = [][]*panel{{p}}
	return g.sheet()
}

// steps draws the outline of a histogram, filled if it is the only one.
func (a area) steps(left, right, count []float64, l look, fill bool) {
	height := func(c float64) vg.Length {
		if !a.y.shows(c) {
			return a.Min.Y
		}
		return a.py(c)
	}
	var pts []vg.Point
	for _, part := range a.order(left) {
		for i, r := range part {
			if i == 0 || left[r] != right[part[i-1]] {
				if i > 0 {
					pts = append(pts, vg.Point{X: a.px(right[part[i-1]]), Y: a.Min.Y})
				}
				pts = append(pts, vg.Point{X: a.px(left[r]), Y: a.Min.Y})
			}
			pts = append(pts, vg.Point{X: a.px(left[r]), Y: height(count[r])}, vg.Point{X: a.px(right[r]), Y: height(count[r])})
		}
		pts = append(pts, vg.Point{X: a.px(right[part[len(part)-1]]), Y: a.Min.Y})
	}
	if len(pts) == 0 {
		return
	}
	if fill {
		a.FillPolygon(l.band(), a.ClipPolygonXY(pts))
	}
	a.StrokeLines(l.line(), a.ClipLinesXY(pts)...)
}

// BinRow is the count of a series' values in one bin.
type BinRow struct {
	Series string  `parquet:"series" doc:"name of the series"`
	Left   float64 `parquet:"left" doc:"left edge of the bin"`
	Right  float64 `parquet:"right" doc:"right edge"`
	Count  int64   `parquet:"count" doc:"values in the bin"`
}

// Bin counts values in n bins with common edges, equally spaced on the axis' scale: a table of [BinRow]. Values that the scale cannot
// display are left out and counted in Meta["left_out"].
func Bin(names []string, values [][]float64, n int, scale string) (*table.Table, error) {
	if len(names) != len(values) || n < 1 || n > 1000 {
		return nil, fmt.Errorf("bin: %d names for %d series in %d bins; give one name for each series and 1 to 1000 bins",
			len(names), len(values), n)
	}
	axis := Axis{Column: "left", Label: "value", Unit: "1", Scale: scale}
	if err := axis.check("x"); err != nil {
		return nil, err
	}
	to, from := func(v float64) float64 { return v }, func(v float64) float64 { return v }
	if axis.log() {
		to, from = math.Log2, math.Exp2
	}
	lo, hi, out := math.Inf(1), math.Inf(-1), 0
	for _, series := range values {
		for _, v := range series {
			if !axis.shows(v) {
				out++
				continue
			}
			lo, hi = min(lo, to(v)), max(hi, to(v))
		}
	}
	if lo > hi {
		return nil, errNothing
	}
	if lo == hi {
		lo, hi = lo-0.5, hi+0.5
	}
	span := hi/float64(n) - lo/float64(n) // bin width
	edge := func(i int) float64 { return axis.finite(from(lo + span*float64(i))) }
	var rows []BinRow
	for k, name := range names {
		bins := make([]int64, n)
		for _, v := range values[k] {
			if axis.shows(v) {
				bins[min(int((to(v)/2-lo/2)/(span/2)), n-1)]++
			}
		}
		for i, c := range bins {
			rows = append(rows, BinRow{name, edge(i), edge(i + 1), c})
		}
	}
	t := table.Of(rows)
	t.Meta["left_out"] = fmt.Sprint(out)
	return t, nil
}
