package figure

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// noted adds a note below a drawing, on as many lines as it needs.
func noted(s *sheet, note string, th *theme) *sheet {
	style := th.text(smallSize, draw.XLeft, draw.YTop)
	style.Color = mute
	if note == "" {
		return s
	}
	lines := wrap(note, style, s.width)
	extra := 2*gap + lineHeight*vg.Length(len(lines))
	return &sheet{s.width, s.height + extra, func(c draw.Canvas) {
		above := c
		above.Min.Y += extra
		s.draw(above)
		for i, line := range lines {
			c.FillText(style, vg.Point{X: c.Min.X, Y: c.Min.Y + lineHeight*vg.Length(len(lines)-i)}, line)
		}
	}}
}
