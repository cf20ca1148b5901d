package figure

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/table"
)

// Curves draws y against x, one line per series, with bands between lo and hi. If Panel is set, there is one panel per value of that column.
type Curves struct {
	Size
	X      Axis     `json:"x"`
	Y      Axis     `json:"y"`
	Series []string `json:"series,omitempty"` // columns whose values identify a curve
	Name   string   `json:"name,omitempty"`   // label of a series with one %s per column, such as "N = %s"
	Lo     string   `json:"lo,omitempty"`     // columns of the interval around y, in the unit of y
	Hi     string   `json:"hi,omitempty"`
	Marks  []Mark   `json:"marks,omitempty"`

	Panel     string `json:"panel,omitempty"`      // column whose values identify the panels
	PanelName string `json:"panel_name,omitempty"` // title of a panel with one %s
	Across    int    `json:"across,omitempty"`     // panels per row; 0 means 1 at single width, 3 or 4 at double width
	FreeY     bool   `json:"free_y,omitempty"`     // separate y range for every panel
	Scatter   bool   `json:"scatter,omitempty"`    // points with intervals instead of lines and bands
}

func (s Curves) kind() string { return "curves" }

func (s Curves) columns() []string {
	return append(append([]string{s.Panel}, s.Series...), s.X.Column, s.Y.Column, s.Lo, s.Hi)
}

func (s Curves) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	if (s.Lo == "") != (s.Hi == "") {
		return fmt.Errorf("lo %q and hi %q: give both or none", s.Lo, s.Hi)
	}
	if s.Across < 0 || s.Across > 12 {
		return fmt.Errorf("across %d is not between 0 and 12", s.Across)
	}
	return checkAxes(s.X, s.Y)
}

func checkAxes(x, y Axis) error {
	if err := x.check("x"); err != nil {
		return err
	}
	return y.check("y")
}

func (s Curves) sheet(t *table.Table) (*sheet, error) {
	n, err := numbers(t, s.X.Column, s.Y.Column, s.Lo, s.Hi)
	if err != nil {
		return nil, err
	}
	x, y, lo, hi := n[0], n[1], n[2], n[3]
	if finite(s.X, s.Y, x, y) == 0 {
		return nil, errNothing
	}
	series, err := groups(t, allRows(t), s.Series, s.Name)
	if err != nil {
		return nil, err
	}
	th := s.theme()
	g := &grid{theme: th, width: s.width(), frame: s.frame(1.9), space: 6}
	looks := map[string]look{}
	for i, sr := range series {
		l := th.look(i, len(series))
		looks[sr.key] = l
		if finite(s.X, s.Y, pick(x, sr.rows), pick(y, sr.rows)) > 0 {
			g.legend.entries = append(g.legend.entries, entry{sr.name, l, s.Scatter})
		}
	}
	g.legend.addMarks(s.Marks)
	panels := []group{{rows: allRows(t)}}
	if s.Panel != "" {
		if panels, err = groups(t, allRows(t), []string{s.Panel}, s.PanelName); err != nil {
			return nil, err
		}
		g.frame = s.frame(1.3)
	}
	across := s.Across
	if across == 0 {
		across = 1
		if s.wide() && len(panels) == 4 {
			across = 4
		} else if s.wide() {
			across = 3
		}
	}
	across = min(across, len(panels))
	for i, p := range panels {
		if i%across == 0 {
			g.panels = append(g.panels, make([]*panel, across))
		}
		rows := p.rows
		if !s.FreeY {
			rows = allRows(t)
		}
		ys := [][]float64{pick(y, rows), pick(lo, rows), pick(hi, rows)}
		inPanel, err := groups(t, p.rows, s.Series, s.Name)
		if err != nil {
			return nil, err
		}
		pn := &panel{
			theme:    th,
			x:        s.X.rule(span([][]float64{x}, s.Marks, false), 5, 0.02),
			y:        s.Y.rule(span(ys, s.Marks, true), max(3, int(g.frame/(0.3*vg.Inch))), 0.05),
			title:    p.name,
			marks:    s.Marks,
			bareX:    i+across < len(panels),
			bareY:    !s.FreeY && i%across > 0,
			noMarkup: i >= across,
		}
		pn.paint = func(a area) {
			for _, sr := range inPanel {
				if s.Scatter && s.Lo != "" {
					a.intervals(pick(x, sr.rows), pick(y, sr.rows), pick(lo, sr.rows), pick(hi, sr.rows), looks[sr.key])
					continue
				}
				if s.Scatter {
					a.glyphs(pick(x, sr.rows), pick(y, sr.rows), looks[sr.key])
					continue
				}
				a.band(pick(x, sr.rows), pick(lo, sr.rows), pick(hi, sr.rows), looks[sr.key])
			}
			for k, sr := range inPanel {
				if s.Scatter {
					continue
				}
				a.curve(pick(x, sr.rows), pick(y, sr.rows), looks[sr.key], k)
			}
		}
		g.panels[i/across][i%across] = pn
	}
	return g.sheet()
}

// order returns the rows that both axes can display, sorted by x and split at missing values.
func (a area) order(x []float64, ys ...[]float64) [][]int {
	rows := make([]int, len(x))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	var parts [][]int
	open := false
	for _, r := range rows {
		ok := a.x.shows(x[r])
		for _, y := range ys {
			ok = ok && a.y.shows(y[r])
		}
		if !ok {
			open = false
			continue
		}
		if !open {
			parts = append(parts, nil)
			open = true
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], r)
	}
	return parts
}

func (a area) points(x, y []float64, rows []int) []vg.Point {
	out := make([]vg.Point, len(rows))
	for i, r := range rows {
		out[i] = a.point(x[r], y[r])
	}
	return out
}

// thin drops points that print cannot resolve: of the points within half a dot it keeps the first, lowest, highest and last (M4, Jugel et
// al.
// 2014). Points must be sorted by x.
func thin(points []vg.Point) []vg.Point {
	const width = vg.Inch / (2 * Resolution)
	if len(points) < 1000 {
		return points
	}
	var out []vg.Point
	for start := 0; start < len(points); {
		cell := math.Floor(float64(points[start].X / width))
		low, high, end := start, start, start+1
		for ; end < len(points) && math.Floor(float64(points[end].X/width)) == cell; end++ {
			if points[end].Y < points[low].Y {
				low = end
			}
			if points[end].Y > points[high].Y {
				high = end
			}
		}
		kept := []int{start, low, high, end - 1}
		slices.Sort(kept)
		for _, i := range slices.Compact(kept) {
			out = append(out, points[i])
		}
		start = end
	}
	return out
}

// line draws a line with gaps at missing values.
func (a area) line(x, y []float64, style draw.LineStyle) {
	for _, part := range a.order(x, y) {
		a.stroke(style, thin(a.points(x, y, part)))
	}
}

// stroke draws a long line in pieces, since the rasterizer's time is quadratic in the number of segments per row; the dash pattern continues
// from piece to piece.
func (a area) stroke(style draw.LineStyle, points []vg.Point) {
	const most = 128
	for len(points) > 1 {
		piece := points[:min(most, len(points))]
		a.StrokeLines(style, a.ClipLinesXY(piece)...)
		for i := 1; i < len(piece); i++ {
			d := piece[i].Sub(piece[i-1])
			style.DashOffs += vg.Length(math.Hypot(float64(d.X), float64(d.Y)))
		}
		points = points[len(piece)-1:]
	}
}

// curve draws a line with markers: on every point of a short curve, on some points of a long one. nth offsets the latter so that the markers
// of neighbouring curves do not coincide.
func (a area) curve(x, y []float64, l look, nth int) {
	a.line(x, y, l.line())
	const most = vg.Length(16)
	last := vg.Length(math.Inf(-1))
	for _, part := range a.order(x, y) {
		for i, pt := range a.points(x, y, part) {
			if i == 0 && len(x) > 12 {
				last = pt.X - most + most*vg.Length(nth%4)/4
			}
			if pt.X-last < most && len(x) > 12 || !a.Contains(pt) {
				continue
			}
			last = pt.X
			a.DrawGlyphNoClip(l.glyph(), pt)
		}
	}
}

// band fills the area between lo and hi.
func (a area) band(x, lo, hi []float64, l look) {
	if lo == nil {
		return
	}
	if a.y.log() { // bands that extend to zero or below are cut at the frame
		lo = slices.Clone(lo)
		for i := range lo {
			if lo[i] <= 0 && !math.IsInf(lo[i], 0) {
				lo[i] = a.y.min
			}
		}
	}
	for _, part := range a.order(x, lo, hi) {
		up, down := thin(a.points(x, hi, part)), slices.Clone(thin(a.points(x, lo, part)))
		slices.Reverse(down)
		a.FillPolygon(l.band(), a.ClipPolygonXY(append(up, down...)))
	}
}
