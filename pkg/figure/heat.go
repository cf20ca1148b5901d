package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/numeral"
	"stuffed/pkg/table"
)

// HeatMap draws a value for every pair of x and y categories as a colour, with a colour bar. Missing values are crossed out.
type HeatMap struct {
	Size
	X     Axis `json:"x"` // categories: numbers are sorted, text keeps its order of first appearance; Scale tokens or log2 formats 16384 as 16K
	Y     Axis `json:"y"`
	Value Axis `json:"value"` // scale linear, log2 or log10

	Cell string `json:"cell,omitempty"` // column of short texts shown in the cells
}

func (s HeatMap) kind() string { return "heat_map" }

func (s HeatMap) columns() []string { return []string{s.X.Column, s.Y.Column, s.Value.Column, s.Cell} }

func (s HeatMap) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	if err := checkAxes(s.X, s.Y); err != nil {
		return err
	}
	return s.Value.check("value")
}

func (s HeatMap) sheet(t *table.Table) (*sheet, error) {
	value, err := t.Float(s.Value.Column)
	if err != nil {
		return nil, err
	}
	if finite(s.Value, s.Value, value, value) == 0 {
		return nil, errNothing
	}
	cols, err := categories(t, s.X.Column)
	if err != nil {
		return nil, err
	}
	rows, err := categories(t, s.Y.Column)
	if err != nil {
		return nil, err
	}
	if len(cols)*len(rows) > 40000 {
		return nil, fmt.Errorf("%d × %d cells are too many, at most 40000; average neighbours", len(cols), len(rows))
	}
	pairs, err := groups(t, allRows(t), []string{s.Y.Column, s.X.Column}, "")
	if err != nil {
		return nil, err
	}
	cells, written := map[string]float64{}, map[string]string{}
	var texts []string
	if s.Cell != "" {
		if texts, err = t.Text(s.Cell); err != nil {
			return nil, err
		}
	}
	for _, p := range pairs {
		if len(p.rows) > 1 {
			return nil, fmt.Errorf("%d rows have the same %s and %s; average them first", len(p.rows), s.Y.Column, s.X.Column)
		}
		cells[p.key] = value[p.rows[0]]
		if texts != nil {
			written[p.key] = texts[p.rows[0]]
		}
	}
	width := s.width()
	th := s.theme()
	style := th.text(smallSize, draw.XRight, draw.YCenter)
	bar := s.Value.rule(value, 4, 0)
	left, right := vg.Length(0), vg.Length(0)
	for _, r := range rows {
		left = max(left, style.Width(categoryName(s.Y, r)))
	}
	for _, tk := range bar.ticks {
		right = max(right, style.Width(tk.label))
	}
	upright := th.text(labelSize, draw.XCenter, draw.YTop)
	aside, beside := (&ruler{Axis: s.Y}).title(), bar.title()
	left, right = left+tickLength+gap, right+8+9+tickLength+gap
	pitchX := (width - left - right - 2*(lineHeight+gap)) / vg.Length(len(cols))
	height := s.frame(float64(min(max(pitchX*vg.Length(len(rows)), 0.8*vg.Inch), 4*vg.Inch) / vg.Inch))
	if s.Height == 0 && len(rows) <= 12 {
		height = min(height, vg.Length(len(rows))*16+20)
	}
	pitchY := height / vg.Length(len(rows))
	top, bottom := vg.Length(4), tickLength+gap+lineHeight+gap+lineHeight
	rowTitle, barTitle := wrap(aside, upright, height+2*bottom), wrap(beside, upright, height+2*bottom)
	for _, line := range slices.Concat(rowTitle, barTitle) { // vertical titles may be longer than the frame is high
		over := (upright.Width(line)-height)/2 + 1
		top, bottom = max(top, over), max(bottom, over)
	}
	left += lineHeight*vg.Length(len(rowTitle)) + gap
	right += lineHeight*vg.Length(len(barTitle)) + gap
	pitchX = (width - left - right) / vg.Length(len(cols))
	full := height + bottom + top
	return &sheet{width, full, func(c draw.Canvas) {
		in := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: c.Min.X + left, Y: c.Min.Y + bottom},
			Max: vg.Point{X: c.Max.X - right, Y: c.Max.Y - top},
		}}
		for i, r := range rows {
			for j, col := range cols {
				v, known := cells[r+"\x00"+col]
				at := vg.Point{X: in.Min.X + pitchX*vg.Length(j), Y: in.Max.Y - pitchY*vg.Length(i+1)}
				drawCell(in, at, pitchX, pitchY, v, known && bar.shows(v), &bar)
				if text := written[r+"\x00"+col]; text != "" {
					th.inCell(in, at, pitchX, pitchY, text, bar.at(v))
				}
			}
		}
		frameOf(in)
		s.names(in, rows, cols, pitchX, pitchY)
		th.upwards(in, in.Min.X-left, rowTitle)
		th.colourBar(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: in.Max.X + 8, Y: in.Min.Y}, Max: vg.Point{X: in.Max.X + 8 + 9, Y: in.Max.Y},
		}}, bar, barTitle)
	}}, nil
}

// inCell writes a short text in the centre of a cell, in a colour that contrasts with the cell's colour for v.
func (th *theme) inCell(in draw.Canvas, at vg.Point, w, h vg.Length, text string, v float64) {
	style := th.text(smallSize, draw.XCenter, draw.YCenter)
	if c := sequential(v); 299*int(c.R)+587*int(c.G)+114*int(c.B) < 140000 {
		style.Color = color.White
	}
	in.FillText(style, vg.Point{X: at.X + w/2, Y: at.Y + h/2}, text)
}

// drawCell fills one cell; it extends slightly under its neighbours, which are drawn later, so that no seams show.
func drawCell(in draw.Canvas, at vg.Point, w, h vg.Length, v float64, known bool, bar *ruler) {
	far := vg.Point{X: min(at.X+w+0.4, in.Max.X), Y: max(at.Y-0.4, in.Min.Y)}
	corners := []vg.Point{{X: at.X, Y: far.Y}, {X: far.X, Y: far.Y}, {X: far.X, Y: at.Y + h}, {X: at.X, Y: at.Y + h}}
	if known {
		in.FillPolygon(sequential(bar.at(v)), corners)
		return
	}
	in.FillPolygon(rule, corners)
	line := draw.LineStyle{Color: mute, Width: vg.Points(0.4)}
	in.StrokeLine2(line, at.X, at.Y, at.X+w, at.Y+h)
	in.StrokeLine2(line, at.X, at.Y+h, at.X+w, at.Y)
}

func frameOf(in draw.Canvas) {
	in.StrokeLines(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, []vg.Point{
		in.Min, {X: in.Max.X, Y: in.Min.Y}, in.Max, {X: in.Min.X, Y: in.Max.Y}, in.Min})
}

// names writes as many category names as fit.
func (s HeatMap) names(in draw.Canvas, rows, cols []string, w, h vg.Length) {
	th := s.theme()
	below, aside := th.text(smallSize, draw.XCenter, draw.YTop), th.text(smallSize, draw.XRight, draw.YCenter)
	line := draw.LineStyle{Color: ink, Width: vg.Points(0.6)}
	every := max(1, int(math.Ceil(float64(lineHeight/h))))
	for i := 0; i < len(rows); i += every {
		y := in.Max.Y - h*(vg.Length(i)+0.5)
		in.StrokeLine2(line, in.Min.X, y, in.Min.X-tickLength, y)
		in.FillText(aside, vg.Point{X: in.Min.X - tickLength - gap, Y: y}, categoryName(s.Y, rows[i]))
	}
	widest := vg.Length(0)
	for _, c := range cols {
		widest = max(widest, below.Width(categoryName(s.X, c)))
	}
	every = max(1, int(math.Ceil(float64((widest+4)/w))))
	for j := 0; j < len(cols); j += every {
		x := in.Min.X + w*(vg.Length(j)+0.5)
		in.StrokeLine2(line, x, in.Min.Y, x, in.Min.Y-tickLength)
		in.FillText(below, vg.Point{X: x, Y: in.Min.Y - tickLength - gap}, categoryName(s.X, cols[j]))
	}
	x := ruler{Axis: s.X}
	in.FillText(th.text(labelSize, draw.XCenter, draw.YTop),
		vg.Point{X: in.Center().X, Y: in.Min.Y - tickLength - gap - lineHeight}, x.title())
}

// upwards writes the lines of a vertical title from x to the right, centred on the frame.
func (th *theme) upwards(in draw.Canvas, x vg.Length, lines []string) {
	style := th.text(labelSize, draw.XCenter, draw.YTop)
	style.Rotation = math.Pi / 2
	for i, line := range lines {
		in.FillText(style, vg.Point{X: x + lineHeight*vg.Length(i), Y: in.Center().Y}, line)
	}
}

func categoryName(a Axis, s string) string {
	var v float64
	if _, err := fmt.Sscan(s, &v); err != nil {
		return s
	}
	if a.Scale == Tokens || a.Scale == Log2 {
		return Length(v)
	}
	return numeral.Text(v)
}

func (th *theme) colourBar(c draw.Canvas, r ruler, title []string) {
	const steps = 128
	h := c.Size().Y / steps
	for i := range steps {
		y := c.Min.Y + h*vg.Length(i)
		top := min(y+h+0.4, c.Max.Y)
		c.FillPolygon(sequential((float64(i)+0.5)/steps), []vg.Point{
			{X: c.Min.X, Y: y}, {X: c.Max.X, Y: y}, {X: c.Max.X, Y: top}, {X: c.Min.X, Y: top}})
	}
	frameOf(c)
	style := th.text(smallSize, draw.XLeft, draw.YCenter)
	line := draw.LineStyle{Color: ink, Width: vg.Points(0.6)}
	widest := vg.Length(0)
	for _, t := range r.ticks {
		y, length := c.Y(r.at(t.at)), tickLength
		if t.label == "" {
			length /= 2
		}
		c.StrokeLine2(line, c.Max.X, y, c.Max.X+length, y)
		c.FillText(style, vg.Point{X: c.Max.X + tickLength + gap, Y: y}, t.label)
		widest = max(widest, style.Width(t.label))
	}
	th.upwards(c, c.Max.X+tickLength+gap+widest+gap, title)
}
