package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/table"
)

// Fit draws measured points with intervals, fitted curves with bands and, below them, the residuals of the first curve. The table, made by
// [FitData], holds points and curves together: columns part ("point" or "curve"), name, x, y, lo, hi and residual. A point with lo but
// without hi was never reached within the grid (right-censored) and gets an upward arrow; one with hi but without lo gets a downward
// arrow.
type Fit struct {
	Size
	X     Axis   `json:"x"`
	Y     Axis   `json:"y"`
	Marks []Mark `json:"marks,omitempty"`
}

func (s Fit) kind() string { return "fit" }

func (s Fit) columns() []string { return []string{"part", "name", "x", "y", "lo", "hi", "residual"} }

func (s Fit) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	x, y := s.X, s.Y
	x.Column, y.Column = "x", "y"
	return checkAxes(x, y)
}

// Point is a measurement with its interval; unknown ends are NaN. A bracket, known only by its ends, has Y = NaN.
type Point struct {
	X, Y, Lo, Hi float64
	Name         string // in the legend; empty: measured, or bracket if Y is NaN
}

// Curve is a fitted law; At returns the value and interval at x, with NaN for an unknown interval.
type Curve struct {
	Name string
	At   func(x float64) (y, lo, hi float64)
}

// FitRow is a row of the table of a [Fit]: a measured point or a point on a curve.
type FitRow struct {
	Part     string  `parquet:"part" doc:"point or curve"`
	Name     string  `parquet:"name" doc:"in the legend"`
	X        float64 `parquet:"x" doc:"place on the x axis"`
	Y        float64 `parquet:"y" doc:"value; missing for a bracket"`
	Lo       float64 `parquet:"lo" doc:"lower end of the interval or bracket; missing where not known"`
	Hi       float64 `parquet:"hi" doc:"upper end"`
	Residual float64 `parquet:"residual" doc:"of a point: its value less that of the first curve; missing where there is none"`
}

// FitData builds the table of a [Fit], with rows of [FitRow]: the points, under their names, and every curve at 121 values of x between from
// and to, evenly spaced on the scale of the x axis. Residuals are relative to the first curve; censored points have none.
func FitData(points []Point, curves []Curve, from, to float64, scale string) (*table.Table, error) {
	axis := Axis{Column: "x", Label: "x", Unit: "1", Scale: scale, Min: &from, Max: &to}
	if err := axis.check("x"); err != nil {
		return nil, err
	}
	var rows []FitRow
	for _, p := range points {
		rest := math.NaN()
		censored := math.IsNaN(p.Lo) != math.IsNaN(p.Hi)
		if len(curves) > 0 && !censored {
			y, _, _ := curves[0].At(p.X)
			rest = p.Y - y
		}
		named := p.Name
		if named == "" {
			named = "measured"
			if math.IsNaN(p.Y) {
				named = "bars: brackets"
			}
		}
		rows = append(rows, FitRow{"point", named, p.X, p.Y, p.Lo, p.Hi, rest})
	}
	for _, c := range curves {
		for i := range 121 {
			f := float64(i) / 120
			x := from + (to-from)*f
			if axis.log() {
				x = from * math.Pow(to/from, f)
			}
			y, lo, hi := c.At(x)
			rows = append(rows, FitRow{"curve", c.Name, x, y, lo, hi, math.NaN()})
		}
	}
	return table.Of(rows), nil
}

func (s Fit) sheet(t *table.Table) (*sheet, error) {
	n, err := numbers(t, "x", "y", "lo", "hi", "residual")
	if err != nil {
		return nil, err
	}
	x, y, lo, hi, rest := n[0], n[1], n[2], n[3], n[4]
	parts, err := groups(t, allRows(t), []string{"part", "name"}, "")
	if err != nil {
		return nil, err
	}
	texts, err := t.Text("part")
	if err != nil {
		return nil, err
	}
	th := s.theme()
	g := &grid{theme: th, width: s.width(), frame: s.frame(1.9), space: 2}
	type drawn struct {
		group
		look  look
		point bool
	}
	var all []drawn
	residuals, lines := false, 0
	for i, p := range parts {
		first := p.rows[0]
		d := drawn{group: p, point: texts[first] == "point"}
		if !d.point && texts[first] != "curve" {
			return nil, fmt.Errorf("row %d: part %q is neither point nor curve", first+1, texts[first])
		}
		if d.point {
			d.look = look{color: ink, marker: markers[i%len(markers)]}
		} else {
			d.look = look{color: th.palette[lines%len(th.palette)], dashes: dashes[lines%len(dashes)]}
			lines++
		}
		names, err := t.Text("name")
		if err != nil {
			return nil, err
		}
		g.legend.entries = append(g.legend.entries, entry{names[first], d.look, d.point})
		all = append(all, d)
		for _, r := range p.rows {
			residuals = residuals || d.point && !math.IsNaN(rest[r])
		}
	}
	g.legend.addMarks(s.Marks)
	xa, ya := s.X, s.Y
	xa.Column, ya.Column = "x", "y"
	if finite(xa, ya, x, y)+finite(xa, ya, x, lo)+finite(xa, ya, x, hi) == 0 {
		return nil, errNothing
	}
	main := &panel{
		theme: th,
		x:     xa.rule(span([][]float64{x}, s.Marks, false), 6, 0.03),
		y:     ya.rule(span([][]float64{y, lo, hi}, s.Marks, true), max(3, int(g.frame/(0.3*vg.Inch))), 0.05),
		marks: s.Marks,
		bareX: residuals,
	}
	main.paint = func(a area) {
		for _, d := range all {
			if !d.point {
				a.band(pick(x, d.rows), pick(lo, d.rows), pick(hi, d.rows), d.look)
			}
		}
		for _, d := range all {
			if d.point {
				a.intervals(pick(x, d.rows), pick(y, d.rows), pick(lo, d.rows), pick(hi, d.rows), d.look)
			} else {
				a.line(pick(x, d.rows), pick(y, d.rows), d.look.line())
			}
		}
	}
	g.panels = [][]*panel{{main}}
	if residuals {
		ra := Axis{Column: "residual", Label: "Residual", Unit: s.Y.Unit}
		below := &panel{theme: th, x: main.x, y: ra.rule(append(append([]float64{}, rest...), 0), 3, 0.15), marks: s.Marks, noMarkup: true}
		below.paint = func(a area) {
			a.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.6)}, a.Min.X, a.py(0), a.Max.X, a.py(0))
			for _, d := range all {
				if d.point {
					a.glyphs(pick(x, d.rows), pick(rest, d.rows), d.look)
				}
			}
		}
		g.panels = append(g.panels, []*panel{below})
		g.ratios = []float64{1, 0.36}
	}
	return g.sheet()
}

func (a area) glyphs(x, y []float64, l look) {
	for i := range x {
		if a.x.shows(x[i]) && a.y.shows(y[i]) {
			if pt := a.point(x[i], y[i]); a.Contains(pt) {
				a.DrawGlyphNoClip(l.glyph(), pt)
			}
		}
	}
}

// intervals draws points with bars from lo to hi; an unknown end becomes an arrow.
func (a area) intervals(x, y, lo, hi []float64, l look) {
	bar := draw.LineStyle{Color: l.color, Width: vg.Points(0.8)}
	const cap, reach = vg.Length(2), vg.Length(10)
	for i := range x {
		if !a.x.shows(x[i]) {
			continue
		}
		px := a.px(x[i])
		bottom, top := a.y.shows(lo[i]), a.y.shows(hi[i])
		var from, to vg.Length
		switch {
		case bottom && top:
			from, to = a.py(lo[i]), a.py(hi[i])
		case bottom:
			from, to = a.py(lo[i]), min(a.py(lo[i])+reach, a.Max.Y)
		case top:
			from, to = max(a.py(hi[i])-reach, a.Min.Y), a.py(hi[i])
		default:
			continue
		}
		from, to = max(from, a.Min.Y), min(to, a.Max.Y)
		a.StrokeLine2(bar, px, from, px, to)
		if bottom {
			a.StrokeLine2(bar, px-cap, from, px+cap, from)
		} else {
			a.StrokeLines(bar, []vg.Point{{X: px - cap, Y: from + cap}, {X: px, Y: from}, {X: px + cap, Y: from + cap}})
		}
		if top {
			a.StrokeLine2(bar, px-cap, to, px+cap, to)
		} else {
			a.StrokeLines(bar, []vg.Point{{X: px - cap, Y: to - cap}, {X: px, Y: to}, {X: px + cap, Y: to - cap}})
		}
	}
	a.glyphs(x, y, l)
}
