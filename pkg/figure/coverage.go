package figure

import (
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// coverage is a canvas that draws nothing and records the first character that the font lacks.
type coverage struct{ err error }

func (c *coverage) SetLineWidth(vg.Length)              {}
func (c *coverage) SetLineDash([]vg.Length, vg.Length)  {}
func (c *coverage) SetColor(color.Color)                {}
func (c *coverage) Rotate(float64)                      {}
func (c *coverage) Translate(vg.Point)                  {}
func (c *coverage) Scale(float64, float64)              {}
func (c *coverage) Push()                               {}
func (c *coverage) Pop()                                {}
func (c *coverage) Stroke(vg.Path)                      {}
func (c *coverage) Fill(vg.Path)                        {}
func (c *coverage) DrawImage(vg.Rectangle, image.Image) {}

func (c *coverage) FillString(f font.Face, _ vg.Point, s string) {
	var buffer sfnt.Buffer
	for _, r := range s {
		glyph, err := f.Face.GlyphIndex(&buffer, r)
		if c.err == nil && (err != nil || glyph == 0 || r > 0xffff) { // PDF fonts use 16-bit glyph indices
			c.err = fmt.Errorf("the text %q has the character %q (U+%04X), which the font of the figures cannot show; write it otherwise", s, r, r)
		}
	}
}

// readable returns an error if the font lacks a character of the figure.
func (f *Figure) readable() error {
	var c coverage
	f.drawOn(&c)
	return c.err
}
