package figure

import (
	"fmt"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// sheet is a drawing of known size.
type sheet struct {
	width, height vg.Length
	draw          func(draw.Canvas)
}

// maxHeight is the text height of a printed page.
const maxHeight = 9.2 * vg.Inch

// grid arranges panels in rows and columns with frames of equal width, below the legend.
type grid struct {
	theme  *theme
	width  vg.Length
	frame  vg.Length // height of a frame
	space  vg.Length // between panels
	panels [][]*panel
	ratios []float64 // heights of the rows relative to frame; nil: all equal
	legend legend
}

func (g *grid) sheet() (*sheet, error) {
	g.legend.theme = g.theme
	cols := 0
	for _, row := range g.panels {
		cols = max(cols, len(row))
	}
	left, right := make([]vg.Length, cols), make([]vg.Length, cols)
	top, bottom := make([]vg.Length, len(g.panels)), make([]vg.Length, len(g.panels))
	inner := g.width / vg.Length(cols)
	for pass := 0; pass < 2; pass++ { // tick labels depend on the frame's width and vice versa
		clear(left)
		clear(right)
		for i, row := range g.panels {
			for j, p := range row {
				if p == nil {
					continue
				}
				p.x.spread(inner, g.theme.text(smallSize, draw.XCenter, draw.YTop))
				l, r, b, t := p.margins(inner, g.rowHeight(i))
				left[j], right[j] = max(left[j], l), max(right[j], r)
				bottom[i], top[i] = max(bottom[i], b), max(top[i], t)
			}
		}
		inner = g.width - g.space*vg.Length(cols-1)
		for j := range cols {
			inner -= left[j] + right[j]
		}
		inner /= vg.Length(cols)
	}
	if inner < 5 {
		return nil, fmt.Errorf("%d panels side by side leave no room for data in %.2f inches", cols, g.width/vg.Inch)
	}
	height := g.legend.height(g.width) + g.space*vg.Length(len(g.panels)-1)
	for i := range g.panels {
		height += top[i] + g.rowHeight(i) + bottom[i]
	}
	if height > 2*maxHeight {
		return nil, fmt.Errorf("%d rows of panels need %.1f inches, at most %.1f are drawn; show fewer panels or set a smaller Height",
			len(g.panels), height/vg.Inch, 2*maxHeight/vg.Inch)
	}
	return &sheet{g.width, height, func(c draw.Canvas) {
		g.legend.draw(c)
		y := c.Max.Y - g.legend.height(g.width)
		for i, row := range g.panels {
			x := c.Min.X
			y -= top[i]
			for j, p := range row {
				x += left[j]
				if p != nil {
					p.draw(c, vg.Rectangle{Min: vg.Point{X: x, Y: y - g.rowHeight(i)}, Max: vg.Point{X: x + inner, Y: y}})
				}
				x += inner + right[j] + g.space
			}
			y -= g.rowHeight(i) + bottom[i] + g.space
		}
	}}, nil
}

func (g *grid) rowHeight(i int) vg.Length {
	if g.ratios == nil {
		return g.frame
	}
	return g.frame * vg.Length(g.ratios[i])
}

// scaled scales a whole sheet by k.
func scaled(s *sheet, k vg.Length) *sheet {
	if k == 1 {
		return s
	}
	return &sheet{s.width * k, s.height * k, func(c draw.Canvas) {
		c.Push()
		defer c.Pop()
		c.Translate(c.Min)
		c.Scale(float64(k), float64(k))
		s.draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Max: vg.Point{X: s.width, Y: s.height}}})
	}}
}
