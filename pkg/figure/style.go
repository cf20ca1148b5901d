package figure

import (
	"bytes"
	"image/color"
	"slices"
	"strings"

	"codeberg.org/go-fonts/dejavu/dejavusans"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Widths of a printed figure, one or both columns of a two-column page, and the margin around it.
const (
	Single = 3.25 * vg.Inch
	Double = 6.75 * vg.Inch

	edge = vg.Length(1)
)

// Printed text sizes. No text is smaller than 7 pt.
const (
	labelSize = 8
	smallSize = 7
)

// palette is that of Okabe and Ito, ordered so that neighbours also differ in greyscale.
var palette = []color.NRGBA{
	{0x00, 0x72, 0xB2, 0xff}, // blue
	{0xD5, 0x5E, 0x00, 0xff}, // vermilion
	{0x00, 0x00, 0x00, 0xff}, // black
	{0xE6, 0x9F, 0x00, 0xff}, // orange
	{0x00, 0x9E, 0x73, 0xff}, // bluish green
	{0xCC, 0x79, 0xA7, 0xff}, // reddish purple
	{0x56, 0xB4, 0xE9, 0xff}, // sky blue
	{0x80, 0x80, 0x80, 0xff}, // grey
}

var dashes = [][]vg.Length{
	nil,
	{4, 1.5},
	{1, 1.2},
	{5, 1.5, 1, 1.5},
	{7, 2},
	{2.5, 1.2},
	{5, 1.5, 1, 1.5, 1, 1.5},
}

var markers = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{},
	draw.CrossGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.PlusGlyph{},
}

var (
	ink  = color.NRGBA{0x20, 0x20, 0x20, 0xff}
	mute = color.NRGBA{0x60, 0x60, 0x60, 0xff}
	rule = color.NRGBA{0xb0, 0xb0, 0xb0, 0xff}
)

// look is how one series is drawn: colour, dashes and marker are redundant, so that it survives greyscale print.
type look struct {
	color  color.NRGBA
	dashes []vg.Length
	marker draw.GlyphDrawer
}

func (l look) line() draw.LineStyle {
	return draw.LineStyle{Color: l.color, Width: vg.Points(1), Dashes: l.dashes}
}

func (l look) glyph() draw.GlyphStyle {
	return draw.GlyphStyle{Color: l.color, Radius: vg.Points(1.8), Shape: l.marker}
}

// band is the colour of an interval around the curve.
func (l look) band() color.Color {
	c := l.color
	c.A = 0x38
	return c
}

// anchors of the viridis colour map, which is perceptually uniform and increases in lightness.
var anchors = []color.NRGBA{
	{0x44, 0x01, 0x54, 0xff}, {0x47, 0x2d, 0x7b, 0xff}, {0x3b, 0x52, 0x8b, 0xff}, {0x2c, 0x72, 0x8e, 0xff},
	{0x21, 0x91, 0x8c, 0xff}, {0x28, 0xae, 0x80, 0xff}, {0x5e, 0xc9, 0x62, 0xff}, {0xad, 0xdc, 0x30, 0xff},
	{0xfd, 0xe7, 0x25, 0xff},
}

// sequential maps [0, 1] to the colours of a heat map.
func sequential(v float64) color.NRGBA {
	v = min(max(v, 0), 1) * float64(len(anchors)-1)
	i := min(int(v), len(anchors)-2)
	f := v - float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-f) + float64(b)*f + 0.5) }
	a, b := anchors[i], anchors[i+1]
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 0xff}
}

// DejaVu has the superscripts, subscripts and Greek letters that most free fonts lack.
var (
	regular = font.Font{Typeface: "DejaVu", Variant: "Sans"}
	handler = newHandler(font.Face{}, nil)
)

// plain draws text on a single line, aligned by what is visible: the top is cap height, the middle that of digits, the bottom that of
// descenders. Characters missing from a style's font are taken from DejaVu.
type plain struct {
	text.Plain
	translate func(string) string
}

// parts splits a text, translated into the style's language, into runs with a face that has their characters.
func (h plain) parts(txt string, fnt font.Font) []part {
	if h.translate != nil {
		txt = h.translate(txt)
	}
	face := h.Fonts.Lookup(fnt, fnt.Size)
	if fnt.Typeface == regular.Typeface {
		return []part{{face, txt}}
	}
	return parts(face, h.Fonts.Lookup(font.From(regular, fnt.Size), fnt.Size), txt)
}

func (h plain) Box(txt string, fnt font.Font) (width, height, depth vg.Length) {
	_, height, depth = h.Plain.Box("", fnt)
	for _, p := range h.parts(txt, fnt) {
		width += p.face.Width(p.text)
	}
	return width, height, depth
}

func (h plain) Draw(c vg.Canvas, txt string, style text.Style, pt vg.Point) {
	const capitals, descent = 0.73, 0.24 // of DejaVu, in em
	rise := descent
	switch style.YAlign {
	case draw.YTop:
		rise = -capitals
	case draw.YCenter:
		rise = -capitals / 2
	}
	c.SetColor(style.Color)
	c.Push()
	defer c.Pop()
	c.Translate(pt)
	if style.Rotation != 0 {
		c.Rotate(style.Rotation)
	}
	width, _, _ := h.Box(txt, style.Font)
	at := vg.Point{X: vg.Length(style.XAlign) * width, Y: vg.Length(rise) * style.Font.Size}
	for _, p := range h.parts(txt, style.Font) {
		c.FillString(p.face, at, p.text)
		at.X += p.face.Width(p.text)
	}
}

// newHandler draws text in a face, or only in DejaVu if the face is empty.
func newHandler(first font.Face, translate func(string) string) text.Handler {
	face, err := opentype.ParseReaderAt(bytes.NewReader(dejavusans.TTF))
	if err != nil {
		panic(err) // the font is embedded
	}
	all := font.Collection{{Font: regular, Face: face}}
	if first.Face != nil {
		all = append(all, first)
	}
	return plain{text.Plain{Fonts: font.NewCache(all)}, translate}
}

// wrap breaks text at spaces into lines no wider than width, with at least one word each; a parenthesised unit is not broken.
func wrap(s string, style text.Style, width vg.Length) []string {
	var lines []string
	words := strings.Split(s, " ")
	for i := len(words) - 1; i > 0; i-- {
		if strings.HasSuffix(words[i], ")") && !strings.Contains(words[i], "(") {
			words = slices.Replace(words, i-1, i+1, words[i-1]+" "+words[i])
		}
	}
	for _, word := range words {
		if n := len(lines); n > 0 && style.Width(lines[n-1]+" "+word) <= width {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
