package figure

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// legend lists the series above the panels, where it cannot cover any data.
type legend struct {
	entries []entry
	theme   *theme
}

type entry struct {
	name   string
	look   look
	noLine bool // marker only
}

const sampleWidth = vg.Length(20)

// rows breaks the entries into lines no wider than width.
func (l *legend) rows(width vg.Length) [][]entry {
	style := l.theme.text(smallSize, draw.XLeft, draw.YCenter)
	var rows [][]entry
	x := vg.Length(0)
	for _, e := range l.entries {
		if e.name == "" {
			continue
		}
		w := sampleWidth + 3 + style.Width(e.name) + 9
		if len(rows) == 0 || x+w > width+9 {
			rows, x = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
		x += w
	}
	return rows
}

// needed reports whether there is more than one thing to distinguish.
func (l *legend) needed() bool {
	named := 0
	for _, e := range l.entries {
		if e.look.marker == nil && e.look.color == mute {
			return true
		}
		if e.name != "" {
			named++
		}
	}
	return named > 1
}

// addMarks adds the horizontal marks.
func (l *legend) addMarks(marks []Mark) {
	for _, m := range marks {
		if m.Horizontal && m.Label != "" {
			l.entries = append(l.entries, entry{name: m.Label, look: markLook})
		}
	}
}

func (l *legend) height(width vg.Length) vg.Length {
	if !l.needed() {
		return 0
	}
	return lineHeight*vg.Length(len(l.rows(width))) + gap
}

// draw draws the legend at the top of c.
func (l *legend) draw(c draw.Canvas) {
	if !l.needed() {
		return
	}
	style := l.theme.text(smallSize, draw.XLeft, draw.YCenter)
	y := c.Max.Y - lineHeight/2
	for _, row := range l.rows(c.Size().X) {
		total := -vg.Length(9)
		for _, e := range row {
			total += sampleWidth + 3 + style.Width(e.name) + 9
		}
		x := c.Min.X + max(0, (c.Size().X-total)/2)
		for _, e := range row {
			mid := vg.Point{X: x + sampleWidth/2, Y: y}
			if !e.noLine {
				c.StrokeLine2(e.look.line(), x, y, x+sampleWidth, y)
			}
			if e.look.marker != nil {
				c.DrawGlyphNoClip(e.look.glyph(), mid)
			}
			c.FillText(style, vg.Point{X: x + sampleWidth + 3, Y: y}, e.name)
			x += sampleWidth + 3 + style.Width(e.name) + 9
		}
		y -= lineHeight
	}
}
