package figure

import (
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// outlined draws text as filled outlines, so that an SVG looks the same in viewers without the font.
type outlined struct{ vg.Canvas }

func (c outlined) FillString(f font.Face, pt vg.Point, s string) {
	var (
		buffer sfnt.Buffer
		path   vg.Path
		units  = fixed.I(int(f.Face.UnitsPerEm()))
		scale  = f.Font.Size / vg.Length(units)
		before sfnt.GlyphIndex
	)
	for i, r := range []rune(s) {
		glyph, err := f.Face.GlyphIndex(&buffer, r)
		if err != nil {
			return
		}
		if kern, err := f.Face.Kern(&buffer, before, glyph, units, 0); err == nil && i > 0 {
			pt.X += vg.Length(kern) * scale
		}
		segments, err := f.Face.LoadGlyph(&buffer, glyph, units, nil)
		if err != nil {
			return
		}
		at := func(p fixed.Point26_6) vg.Point {
			return vg.Point{X: pt.X + vg.Length(p.X)*scale, Y: pt.Y - vg.Length(p.Y)*scale}
		}
		for j, seg := range segments {
			switch seg.Op {
			case sfnt.SegmentOpMoveTo:
				if j > 0 {
					path.Close()
				}
				path.Move(at(seg.Args[0]))
			case sfnt.SegmentOpLineTo:
				path.Line(at(seg.Args[0]))
			case sfnt.SegmentOpQuadTo:
				path.QuadTo(at(seg.Args[0]), at(seg.Args[1]))
			case sfnt.SegmentOpCubeTo:
				path.CubeTo(at(seg.Args[0]), at(seg.Args[1]), at(seg.Args[2]))
			}
		}
		if len(segments) > 0 {
			path.Close()
		}
		advance, err := f.Face.GlyphAdvance(&buffer, glyph, units, 0)
		if err != nil {
			return
		}
		pt.X += vg.Length(advance) * scale
		before = glyph
	}
	c.Fill(path)
}
