package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/numeral"
	"stuffed/pkg/table"
)

// SmallMultiples draws one tiny panel for every pair of row and column, such as all layers × heads. All panels share the x range, and the y
// range too, or one y range per row with ByRow. The ranges are written below.
type SmallMultiples struct {
	Size
	X       Axis     `json:"x"`
	Y       Axis     `json:"y"`
	Row     string   `json:"row"`    // column of integers or text, such as layer
	Column  string   `json:"column"` // such as head
	RowName string   `json:"row_name,omitempty"`
	ColName string   `json:"column_name,omitempty"`
	Series  []string `json:"series,omitempty"`
	Name    string   `json:"name,omitempty"`
	Lo      string   `json:"lo,omitempty"`
	Hi      string   `json:"hi,omitempty"`
	Marks   []Mark   `json:"marks,omitempty"`
	ByRow   bool     `json:"by_row,omitempty"`
}

func (s SmallMultiples) kind() string { return "small_multiples" }

func (s SmallMultiples) columns() []string {
	return append([]string{s.Row, s.Column, s.X.Column, s.Y.Column, s.Lo, s.Hi}, s.Series...)
}

func (s SmallMultiples) check() error {
	if err := s.Size.check(); err != nil {
		return err
	}
	if s.Row == "" || s.Column == "" {
		return fmt.Errorf("row %q and column %q: both name a column", s.Row, s.Column)
	}
	if (s.Lo == "") != (s.Hi == "") {
		return fmt.Errorf("lo %q and hi %q: give both or none", s.Lo, s.Hi)
	}
	return checkAxes(s.X, s.Y)
}

func (s SmallMultiples) sheet(t *table.Table) (*sheet, error) {
	n, err := numbers(t, s.X.Column, s.Y.Column, s.Lo, s.Hi)
	if err != nil {
		return nil, err
	}
	x, y, lo, hi := n[0], n[1], n[2], n[3]
	if finite(s.X, s.Y, x, y) == 0 {
		return nil, errNothing
	}
	rows, err := categories(t, s.Row)
	if err != nil {
		return nil, err
	}
	cols, err := categories(t, s.Column)
	if err != nil {
		return nil, err
	}
	series, err := groups(t, allRows(t), s.Series, s.Name)
	if err != nil {
		return nil, err
	}
	th := s.theme()
	m := &mosaic{spec: s, legend: legend{theme: th}, rows: rows, cols: cols, x: s.X.rule(span([][]float64{x}, s.Marks, false), 2, 0)}
	looks := map[string]look{}
	for i, sr := range series {
		looks[sr.key] = th.look(i, len(series))
		m.legend.entries = append(m.legend.entries, entry{name: sr.name, look: looks[sr.key]})
	}
	for _, mark := range s.Marks {
		m.legend.entries = append(m.legend.entries, entry{name: mark.Label, look: markLook})
	}
	cells, err := groups(t, allRows(t), []string{s.Row, s.Column}, "")
	if err != nil {
		return nil, err
	}
	inCell := map[string][]int{}
	for _, c := range cells {
		inCell[c.key] = c.rows
	}
	for _, r := range rows {
		var values []int
		for _, c := range cols {
			values = append(values, inCell[r+"\x00"+c]...)
		}
		if !s.ByRow {
			values = allRows(t)
		}
		ys := [][]float64{pick(y, values), pick(lo, values), pick(hi, values)}
		m.y = append(m.y, s.Y.rule(span(ys, s.Marks, true), 2, 0.03))
	}
	m.paint = func(a area, row, col int) error {
		parts, err := groups(t, inCell[rows[row]+"\x00"+cols[col]], s.Series, s.Name)
		if err != nil {
			return err
		}
		for _, p := range parts {
			a.band(pick(x, p.rows), pick(lo, p.rows), pick(hi, p.rows), looks[p.key])
			style := looks[p.key].line()
			style.Width = vg.Points(0.7)
			a.line(pick(x, p.rows), pick(y, p.rows), style)
		}
		return nil
	}
	return m.sheet()
}

// mosaic is the layout of small multiples.
type mosaic struct {
	spec       SmallMultiples
	rows, cols []string
	x          ruler
	y          []ruler
	legend     legend
	paint      func(a area, row, col int) error
}

func (m *mosaic) sheet() (*sheet, error) {
	width := m.spec.width()
	style := m.legend.theme.text(smallSize, draw.XRight, draw.YCenter)
	left := vg.Length(0)
	names := make([]string, len(m.rows))
	for i, r := range m.rows {
		names[i] = r
		if m.spec.ByRow {
			names[i] += "  [" + short(&m.y[i]) + "]"
		}
		left = max(left, style.Width(names[i]))
	}
	left += 2*gap + lineHeight
	aside, below := vg.Length(0), vg.Length(0) // space for ticks
	if m.ticked(width - left) {
		for i := range m.y {
			aside = max(aside, m.widestTick(&m.y[i])+tickLength+gap)
		}
		left, below = left+aside, tickLength+lineHeight
	}
	pitch := (width - left) / vg.Length(len(m.cols))
	frame := min(0.62*pitch, 0.6*vg.Inch)
	if m.spec.Height != 0 {
		frame = m.spec.frame(0)
	}
	frame = max(frame, 5)
	if total := (frame + 1.5) * vg.Length(len(m.rows)); m.spec.Height == 0 && total > maxHeight-vg.Inch {
		frame = (maxHeight-vg.Inch)/vg.Length(len(m.rows)) - 1.5
	}
	space := vg.Length(2)
	if pitch < 20 {
		space = 1
	}
	if frame < 3 || pitch < 4 {
		return nil, fmt.Errorf("%d × %d panels do not fit a page; show fewer rows or columns", len(m.rows), len(m.cols))
	}
	notes := m.notes(width)
	top := m.legend.height(width) + lineHeight + gap
	if m.spec.ColName != "" {
		top += lineHeight
	}
	below += gap + lineHeight*vg.Length(len(notes))
	height := top + (frame+space)*vg.Length(len(m.rows)) + below
	return &sheet{width, height, func(c draw.Canvas) {
		m.legend.draw(c)
		origin := vg.Point{X: c.Min.X + left, Y: c.Max.Y - top}
		m.labels(c, origin, aside, pitch, frame+space, space, names)
		for i := range m.rows {
			for j := range m.cols {
				min := vg.Point{X: origin.X + pitch*vg.Length(j), Y: origin.Y - (frame+space)*vg.Length(i+1) + space}
				rect := vg.Rectangle{Min: min, Max: min.Add(vg.Point{X: pitch - space, Y: frame})}
				cell := draw.Canvas{Canvas: c.Canvas, Rectangle: rect}
				m.cell(cell, i, j)
				if aside > 0 && j == 0 {
					m.besideTicks(cell, &m.y[i])
				}
				if aside > 0 && i == len(m.rows)-1 {
					m.belowTicks(cell, &m.x)
				}
			}
		}
		note := m.legend.theme.text(smallSize, draw.XLeft, draw.YTop)
		y := c.Min.Y + lineHeight*vg.Length(len(notes))
		for _, n := range notes {
			c.FillText(note, vg.Point{X: c.Min.X, Y: y}, n)
			y -= lineHeight
		}
	}}, nil
}

// ticked reports whether panels that share the given width have room for ticks.
func (m *mosaic) ticked(width vg.Length) bool {
	return width/vg.Length(len(m.cols)) >= 30 && len(m.rows) <= 8
}

func (m *mosaic) widestTick(r *ruler) (widest vg.Length) {
	style := m.legend.theme.text(smallSize, draw.XRight, draw.YCenter)
	for _, t := range r.ticks {
		widest = max(widest, style.Width(t.label))
	}
	return widest
}

// besideTicks draws the labelled y ticks to the left of a panel, except near its ends, where they would collide with those of the next
// panel.
func (m *mosaic) besideTicks(c draw.Canvas, r *ruler) {
	line, style := draw.LineStyle{Color: ink, Width: vg.Points(0.5)}, m.legend.theme.text(smallSize, draw.XRight, draw.YCenter)
	for _, t := range r.ticks {
		if p := r.at(t.at); t.label != "" && p > 0.08 && p < 0.92 {
			y := c.Min.Y + (c.Max.Y-c.Min.Y)*vg.Length(p)
			c.StrokeLine2(line, c.Min.X, y, c.Min.X-tickLength, y)
			c.FillText(style, vg.Point{X: c.Min.X - tickLength - gap, Y: y}, t.label)
		}
	}
}

// belowTicks draws the x ticks.
func (m *mosaic) belowTicks(c draw.Canvas, r *ruler) {
	line, style := draw.LineStyle{Color: ink, Width: vg.Points(0.5)}, m.legend.theme.text(smallSize, draw.XCenter, draw.YTop)
	free := c.Min.X
	for _, t := range r.ticks {
		p := r.at(t.at)
		if t.label == "" || p < 0.1 || p > 0.9 {
			continue
		}
		x, half := c.Min.X+(c.Max.X-c.Min.X)*vg.Length(p), style.Width(t.label)/2
		if x-half < free {
			continue
		}
		free = x + half + 3
		c.StrokeLine2(line, x, c.Min.Y, x, c.Min.Y-tickLength)
		c.FillText(style, vg.Point{X: x, Y: c.Min.Y - tickLength - 1}, t.label)
	}
}

func (m *mosaic) cell(c draw.Canvas, i, j int) {
	a := area{Canvas: c, x: &m.x, y: &m.y[i]}
	p := panel{theme: m.legend.theme, x: m.x, y: m.y[i], marks: m.spec.Marks, noMarkup: true}
	p.drawMarks(a)
	if m.paint(a, i, j) != nil {
		return
	}
	a.StrokeLines(draw.LineStyle{Color: rule, Width: vg.Points(0.4)}, []vg.Point{
		c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}, c.Min})
}

// labels writes row names on the left and column names at the top, as many as fit.
func (m *mosaic) labels(c draw.Canvas, origin vg.Point, aside, pitch, step, space vg.Length, names []string) {
	right, middle := m.legend.theme.text(smallSize, draw.XRight, draw.YCenter), m.legend.theme.text(smallSize, draw.XCenter, draw.YBottom)
	every := max(1, int(math.Ceil(float64(lineHeight/step))))
	for i := 0; i < len(names); i += every {
		c.FillText(right, vg.Point{X: origin.X - aside - gap, Y: origin.Y - step*vg.Length(i) - (step-space)/2}, names[i])
	}
	widest := vg.Length(0)
	for _, n := range m.cols {
		widest = max(widest, middle.Width(n))
	}
	every = max(1, int(math.Ceil(float64((widest+3)/pitch))))
	for j := 0; j < len(m.cols); j += every {
		c.FillText(middle, vg.Point{X: origin.X + pitch*vg.Length(j) + (pitch-space)/2, Y: origin.Y + gap/2}, m.cols[j])
	}
	if m.spec.ColName != "" {
		c.FillText(m.legend.theme.text(labelSize, draw.XCenter, draw.YBottom),
			vg.Point{X: origin.X + pitch*vg.Length(len(m.cols))/2, Y: origin.Y + lineHeight + gap/2}, m.spec.ColName)
	}
	if m.spec.RowName != "" {
		side := m.legend.theme.text(labelSize, draw.XCenter, draw.YTop)
		side.Rotation = math.Pi / 2
		c.FillText(side, vg.Point{X: c.Min.X, Y: origin.Y - step*vg.Length(len(m.rows))/2}, m.spec.RowName)
	}
}

// notes describes the axes common to all panels.
func (m *mosaic) notes(width vg.Length) []string {
	x := "→ " + describe(&m.x)
	y := "↑ " + describe(&m.y[0])
	if m.spec.ByRow {
		y = "↑ " + m.y[0].plain() + ", range by row in brackets" + logNote(&m.y[0])
	}
	style := m.legend.theme.text(smallSize, draw.XLeft, draw.YTop)
	if style.Width(x+"    "+y) <= width {
		return []string{x + "    " + y}
	}
	return append(wrap(x, style, width), wrap(y, style, width)...)
}

func describe(r *ruler) string { return r.plain() + ": " + short(r) + logNote(r) }

// plain is the title without the power of ten.
func (r *ruler) plain() string {
	c := *r
	c.power = 0
	return c.title()
}

func logNote(r *ruler) string {
	if r.log() {
		return ", logarithmic"
	}
	return ""
}

func short(r *ruler) string { return brief(r, r.min) + " … " + brief(r, r.max) }

func brief(r *ruler, v float64) string {
	if r.Scale == Tokens || r.Scale == Log2 {
		return Length(math.Round(v))
	}
	return numeral.Text(v)
}
