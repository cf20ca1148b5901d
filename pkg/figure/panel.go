package figure

import (
	"math"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// area is the inside of a panel: it maps data to the canvas, which is clipped to the frame.
type area struct {
	draw.Canvas
	x, y *ruler
}

func (a area) px(v float64) vg.Length { return a.X(a.x.at(v)) }
func (a area) py(v float64) vg.Length { return a.Y(a.y.at(v)) }
func (a area) point(x, y float64) vg.Point {
	return vg.Point{X: a.px(x), Y: a.py(y)}
}

// Mark is a labelled line across a panel, such as the training length.
type Mark struct {
	At         float64 `json:"at"`
	Label      string  `json:"label"`
	Horizontal bool    `json:"horizontal,omitempty"`
}

// TrainLength marks the training length of a model, in tokens.
func TrainLength(tokens int) Mark {
	return Mark{At: float64(tokens), Label: "training length " + Length(float64(tokens))}
}

// markLook is the style of marks; the labels of horizontal ones are in the legend, where they cover no data.
var markLook = look{color: mute, dashes: []vg.Length{3, 2}}

// panel is one pair of axes with a frame.
type panel struct {
	theme    *theme
	x, y     ruler
	title    string
	marks    []Mark
	bareX    bool // no tick labels or title below the frame
	bareY    bool
	paint    func(area)
	noMarkup bool // marks without labels

	untitledY bool // the tick labels are self-explanatory
}

const (
	tickLength = vg.Length(2.5)
	gap        = vg.Length(2)
	lineHeight = vg.Length(9)
)

// margins is the space that the panel needs around a frame of the given size.
func (p *panel) margins(width, height vg.Length) (left, right, bottom, top vg.Length) {
	style := p.theme.text(smallSize, draw.XCenter, draw.YCenter)
	left, bottom, right, top = tickLength, tickLength, 1, 1
	if !p.bareY {
		widest := vg.Length(0)
		for _, t := range p.y.ticks {
			widest = max(widest, style.Width(t.label))
		}
		left += gap + widest
		if !p.untitledY {
			left += gap + lineHeight*vg.Length(len(p.titleY(height)))
		}
		top = max(top, 4)
	}
	if !p.bareX {
		bottom += gap + lineHeight*vg.Length(1+len(p.titleX(width)))
		for _, t := range p.x.ticks {
			right = max(right, style.Width(t.label)/2-vg.Length(1-p.x.at(t.at))*width)
		}
	}
	if p.title != "" {
		top += lineHeight + gap
	}
	if !p.noMarkup {
		top += lineHeight * vg.Length(p.markRows(width))
	}
	return left, right, bottom, top
}

// titleX and titleY are the axis titles, wrapped to slightly more than the frame.
func (p *panel) titleX(width vg.Length) []string {
	return wrap(p.x.title(), p.theme.text(labelSize, 0, 0), width+10)
}

func (p *panel) titleY(height vg.Length) []string {
	return wrap(p.y.title(), p.theme.text(labelSize, 0, 0), height+10)
}

// markRows is the number of lines above the frame needed for the labels of vertical marks.
func (p *panel) markRows(width vg.Length) int {
	rows := 0
	for _, r := range p.stagger(width) {
		rows = max(rows, r+1)
	}
	return rows
}

// stagger assigns each vertical mark a line for its label so that labels do not overlap; −1 for other marks.
func (p *panel) stagger(width vg.Length) []int {
	style := p.theme.text(smallSize, draw.XCenter, draw.YBottom)
	rows := make([]int, len(p.marks))
	for i, m := range p.marks {
		rows[i] = -1
		if m.Horizontal || !p.inside(m) {
			continue
		}
	search:
		for row := 0; ; row++ {
			for j := range i {
				apart := p.labelAt(m, width) - p.labelAt(p.marks[j], width)
				if rows[j] == row && max(apart, -apart) < (style.Width(m.Label)+style.Width(p.marks[j].Label))/2+3 {
					continue search
				}
			}
			rows[i] = row
			break
		}
	}
	return rows
}

// labelAt is the centre of a vertical mark's label, kept within the frame.
func (p *panel) labelAt(m Mark, width vg.Length) vg.Length {
	half := p.theme.text(smallSize, draw.XCenter, draw.YBottom).Width(m.Label) / 2
	return max(min(vg.Length(p.x.at(m.At))*width, width-half), half)
}

func (p *panel) inside(m Mark) bool {
	r := &p.x
	if m.Horizontal {
		r = &p.y
	}
	if !r.shows(m.At) {
		return false
	}
	at := r.at(m.At)
	return at >= 0 && at <= 1
}

// draw draws the panel so that its frame is inner.
func (p *panel) draw(c draw.Canvas, inner vg.Rectangle) {
	in := area{Canvas: draw.Canvas{Canvas: c.Canvas, Rectangle: inner}, x: &p.x, y: &p.y}
	p.drawMarks(in)
	p.paint(in)
	frame := draw.LineStyle{Color: ink, Width: vg.Points(0.6)}
	in.StrokeLines(frame, []vg.Point{
		inner.Min, {X: inner.Max.X, Y: inner.Min.Y}, inner.Max, {X: inner.Min.X, Y: inner.Max.Y}, inner.Min,
	})
	p.drawX(in, frame)
	p.drawY(in, frame)
	if p.title != "" {
		y := inner.Max.Y + gap
		if !p.noMarkup {
			y += lineHeight * vg.Length(p.markRows(inner.Size().X))
		}
		c.FillText(p.theme.text(labelSize, draw.XCenter, draw.YBottom), vg.Point{X: (inner.Min.X + inner.Max.X) / 2, Y: y}, p.title)
	}
}

func (p *panel) drawX(in area, frame draw.LineStyle) {
	base := in.Min.Y
	style := p.theme.text(smallSize, draw.XCenter, draw.YTop)
	for _, t := range p.x.ticks {
		x, length := in.px(t.at), tickLength
		if t.label == "" {
			length /= 2
		}
		in.StrokeLine2(frame, x, base, x, base-length)
		if !p.bareX {
			in.FillText(style, vg.Point{X: x, Y: base - tickLength - gap}, t.label)
		}
	}
	if !p.bareX {
		for i, line := range p.titleX(in.Size().X) {
			in.FillText(p.theme.text(labelSize, draw.XCenter, draw.YTop),
				vg.Point{X: in.Center().X, Y: base - tickLength - gap - lineHeight*vg.Length(i+1)}, line)
		}
	}
}

func (p *panel) drawY(in area, frame draw.LineStyle) {
	base := in.Min.X
	style := p.theme.text(smallSize, draw.XRight, draw.YCenter)
	widest := vg.Length(0)
	for _, t := range p.y.ticks {
		y, length := in.py(t.at), tickLength
		if t.label == "" {
			length /= 2
		}
		in.StrokeLine2(frame, base, y, base-length, y)
		if !p.bareY {
			in.FillText(style, vg.Point{X: base - tickLength - gap, Y: y}, t.label)
			widest = max(widest, style.Width(t.label))
		}
	}
	if !p.bareY && !p.untitledY {
		title := p.theme.text(labelSize, draw.XCenter, draw.YBottom)
		title.Rotation = math.Pi / 2
		lines := p.titleY(in.Size().Y)
		for i, line := range lines {
			x := base - tickLength - 2*gap - widest - lineHeight*vg.Length(len(lines)-1-i)
			in.FillText(title, vg.Point{X: x, Y: in.Center().Y}, line)
		}
	}
}

func (p *panel) drawMarks(in area) {
	line := markLook.line()
	rows := p.stagger(in.Size().X)
	for i, m := range p.marks {
		if !p.inside(m) {
			continue
		}
		if m.Horizontal {
			y := in.py(m.At)
			in.StrokeLine2(line, in.Min.X, y, in.Max.X, y)
			continue
		}
		x := in.px(m.At)
		in.StrokeLine2(line, x, in.Min.Y, x, in.Max.Y)
		if !p.noMarkup {
			style := p.theme.text(smallSize, draw.XCenter, draw.YBottom)
			style.Color = mute
			at := vg.Point{X: in.Min.X + p.labelAt(m, in.Size().X), Y: in.Max.Y + 1 + lineHeight*vg.Length(rows[i])}
			in.FillText(style, at, m.Label)
		}
	}
}

// spread reduces the number of labelled ticks until the labels of a horizontal axis of this length do not overlap.
func (r *ruler) spread(length vg.Length, style text.Style) {
	for n := int(length / (0.45 * vg.Inch)); n >= 2; n-- {
		r.mark(n)
		end, fits := vg.Length(math.Inf(-1)), true
		for _, t := range r.ticks {
			if t.label == "" {
				continue
			}
			at, half := vg.Length(r.at(t.at))*length, style.Width(t.label)/2
			fits = fits && at-half > end+4
			end = at + half
		}
		if fits {
			return
		}
	}
}
