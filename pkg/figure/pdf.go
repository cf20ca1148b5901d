package figure

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"time"

	"codeberg.org/go-fonts/dejavu/dejavusans"
	"codeberg.org/go-pdf/fpdf"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// pdfCanvas draws on a single PDF page and embeds the glyphs in use. gonum's PDF canvas encodes text in Windows-1252, which loses
// superscripts and Greek letters.
type pdfCanvas struct {
	doc    *fpdf.Fpdf
	height float64
	now    pdfState
	stack  []pdfState
	images int
}

// pdfState is the graphics state saved by Push. The user-space point (x, y) is at (a·x + c·y + e, b·x + d·y + f) on the page.
type pdfState struct {
	a, b, c, d, e, f float64
	width            vg.Length
	dash             []vg.Length
	offset           vg.Length
	color            color.Color
}

func newPDF(w, h vg.Length) *pdfCanvas {
	doc := fpdf.NewCustom(&fpdf.InitType{UnitStr: "pt", Size: fpdf.SizeType{Wd: w.Points(), Ht: h.Points()}})
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the current date would make equal figures differ
	doc.SetCreationDate(epoch)
	doc.SetModificationDate(epoch)
	doc.SetProducer("stuffed", false)
	doc.SetCatalogSort(true)
	doc.SetMargins(0, 0, 0)
	doc.SetAutoPageBreak(false, 0)
	doc.AddUTF8FontFromBytes("DejaVu", "", dejavusans.TTF)
	doc.AddPage()
	c := &pdfCanvas{doc: doc, height: h.Points(), now: pdfState{a: 1, d: 1}}
	vg.Initialize(c)
	return c
}

// add registers the font of a style; only the glyphs in use are embedded.
func (c *pdfCanvas) add(t *theme) {
	if t.ttf != nil {
		c.doc.AddUTF8FontFromBytes(string(t.font.Typeface), "", t.ttf)
	}
}

func (c *pdfCanvas) SetLineWidth(w vg.Length) { c.now.width = w }

func (c *pdfCanvas) SetLineDash(pattern []vg.Length, offset vg.Length) {
	c.now.dash, c.now.offset = append([]vg.Length(nil), pattern...), offset
}

func (c *pdfCanvas) SetColor(clr color.Color) {
	if clr == nil {
		clr = color.Black
	}
	c.now.color = clr
}

func (c *pdfCanvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	s := c.now
	c.now.a, c.now.b = s.a*cos+s.c*sin, s.b*cos+s.d*sin
	c.now.c, c.now.d = s.c*cos-s.a*sin, s.d*cos-s.b*sin
}

func (c *pdfCanvas) Translate(pt vg.Point) { c.now.e, c.now.f = c.now.at(pt) }

func (c *pdfCanvas) Scale(x, y float64) {
	c.now.a, c.now.b, c.now.c, c.now.d = c.now.a*x, c.now.b*x, c.now.c*y, c.now.d*y
}

func (c *pdfCanvas) Push() { c.stack = append(c.stack, c.now) }

func (c *pdfCanvas) Pop() {
	c.now = c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
}

// scale is the current scale factor, equal in both directions.
func (s *pdfState) scale() float64 {
	if s.a == 1 && s.b == 0 {
		return 1
	}
	return math.Hypot(s.a, s.b)
}

func (s *pdfState) at(p vg.Point) (x, y float64) {
	px, py := p.X.Points(), p.Y.Points()
	return s.a*px + s.c*py + s.e, s.b*px + s.d*py + s.f
}

// point maps a point to the page, with y pointing down.
func (c *pdfCanvas) point(p vg.Point) (x, y float64) {
	x, y = c.now.at(p)
	return x, c.height - y
}

func (c *pdfCanvas) paint() {
	n := color.NRGBAModel.Convert(c.now.color).(color.NRGBA)
	r, g, b := int(n.R), int(n.G), int(n.B)
	c.doc.SetFillColor(r, g, b)
	c.doc.SetDrawColor(r, g, b)
	c.doc.SetTextColor(r, g, b)
	c.doc.SetAlpha(float64(n.A)/255, "Normal")
}

func (c *pdfCanvas) Stroke(p vg.Path) {
	if c.now.width <= 0 || len(p) == 0 {
		return
	}
	c.paint()
	c.doc.SetLineWidth(c.now.width.Points() * c.now.scale())
	pattern := make([]float64, len(c.now.dash))
	for i, d := range c.now.dash {
		pattern[i] = d.Points() * c.now.scale()
	}
	c.doc.SetDashPattern(pattern, c.now.offset.Points()*c.now.scale())
	c.trace(p)
	c.doc.DrawPath("D")
}

func (c *pdfCanvas) Fill(p vg.Path) {
	if len(p) == 0 {
		return
	}
	c.paint()
	c.trace(p)
	c.doc.DrawPath("F")
}

func (c *pdfCanvas) trace(p vg.Path) {
	for _, s := range p {
		switch s.Type {
		case vg.MoveComp:
			c.doc.MoveTo(c.point(s.Pos))
		case vg.LineComp:
			c.doc.LineTo(c.point(s.Pos))
		case vg.CurveComp:
			x1, y1 := c.point(s.Control[0])
			x2, y2 := c.point(s.Control[len(s.Control)-1])
			x, y := c.point(s.Pos)
			if len(s.Control) == 1 {
				c.doc.CurveTo(x1, y1, x, y)
			} else {
				c.doc.CurveBezierCubicTo(x1, y1, x2, y2, x, y)
			}
		case vg.ArcComp:
			c.arc(s)
		case vg.CloseComp:
			c.doc.ClosePath()
		}
	}
}

// arc approximates a circular arc by cubic Bézier curves of at most a quarter turn each.
func (c *pdfCanvas) arc(s vg.PathComp) {
	on := func(angle float64) vg.Point {
		sin, cos := math.Sincos(angle)
		return vg.Point{X: s.Pos.X + s.Radius*vg.Length(cos), Y: s.Pos.Y + s.Radius*vg.Length(sin)}
	}
	n := int(math.Ceil(math.Abs(s.Angle) / (math.Pi / 2)))
	step := s.Angle / float64(max(n, 1))
	pull := s.Radius * vg.Length(4.0/3*math.Tan(step/4))
	x, y := c.point(on(s.Start))
	c.doc.LineTo(x, y)
	for i := range n {
		from, to := s.Start+float64(i)*step, s.Start+float64(i+1)*step
		p, q := on(from), on(to)
		x1, y1 := c.point(vg.Point{X: p.X - pull*vg.Length(math.Sin(from)), Y: p.Y + pull*vg.Length(math.Cos(from))})
		x2, y2 := c.point(vg.Point{X: q.X + pull*vg.Length(math.Sin(to)), Y: q.Y - pull*vg.Length(math.Cos(to))})
		x, y := c.point(q)
		c.doc.CurveBezierCubicTo(x1, y1, x2, y2, x, y)
	}
}

func (c *pdfCanvas) FillString(f font.Face, pt vg.Point, s string) {
	if f.Font.Size == 0 || s == "" {
		return
	}
	c.paint()
	c.doc.SetFont(string(f.Font.Typeface), "", f.Font.Size.Points()*c.now.scale())
	x, y := c.point(pt)
	turn := math.Atan2(c.now.b, c.now.a) * 180 / math.Pi
	if turn != 0 {
		c.doc.TransformBegin()
		c.doc.TransformRotate(turn, x, y)
		defer c.doc.TransformEnd()
	}
	c.doc.Text(x, y, s)
}

func (c *pdfCanvas) DrawImage(rect vg.Rectangle, img image.Image) {
	var data bytes.Buffer
	if err := png.Encode(&data, img); err != nil {
		c.doc.SetError(err)
		return
	}
	c.images++
	name := fmt.Sprintf("image%d", c.images)
	opts := fpdf.ImageOptions{ImageType: "png"}
	c.doc.RegisterImageOptionsReader(name, opts, &data)
	x, y := c.point(vg.Point{X: rect.Min.X, Y: rect.Max.Y})
	size := rect.Size()
	c.doc.ImageOptions(name, x, y, size.X.Points(), size.Y.Points(), false, opts, 0, "")
}

func (c *pdfCanvas) WriteTo(w io.Writer) (int64, error) {
	var data bytes.Buffer
	if err := c.doc.Output(&data); err != nil {
		return 0, err
	}
	return data.WriteTo(w)
}
