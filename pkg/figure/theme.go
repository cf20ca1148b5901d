package figure

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"codeberg.org/go-fonts/dejavu/dejavusans"
	"codeberg.org/go-fonts/dejavu/dejavuserif"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-fonts/liberation/liberationserifregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// Style holds a journal's requirements. The zero value is the project's style: DejaVu Sans at 8 and 7 pt, the palette of Okabe and Ito,
// English,
// text in SVG as outlines.
type Style struct {
	Font     string            `json:"font,omitempty"`     // DejaVu Sans, DejaVu Serif, Liberation Sans (metrics of Arial), Liberation Serif (of Times), or a TrueType file
	Size     float64           `json:"size,omitempty"`     // of axis titles, in points; tick labels are an eighth smaller, lines and markers scale along
	Palette  []string          `json:"palette,omitempty"`  // series colours as #rrggbb, in order
	Grey     bool              `json:"grey,omitempty"`     // replace every colour by its lightness
	Language string            `json:"language,omitempty"` // en, de or fr: decimal separator and the words that figures add
	Words    map[string]string `json:"words,omitempty"`    // replacements for whole labels and notes: "Loss": "Verlust"
	SVGText  bool              `json:"svg_text,omitempty"` // keep text in SVG as text, which can be edited where the font is installed
}

// fonts holds the embedded fonts.
var fonts = map[string][]byte{
	"DejaVu Sans": dejavusans.TTF, "DejaVu Serif": dejavuserif.TTF,
	"Liberation Sans": liberationsansregular.TTF, "Liberation Serif": liberationserifregular.TTF,
}

// Fonts returns the names of the embedded fonts.
func Fonts() []string {
	return []string{"DejaVu Sans", "DejaVu Serif", "Liberation Sans", "Liberation Serif"}
}

func (s *Style) check() error {
	if s == nil {
		return nil
	}
	if s.Size != 0 && !(s.Size >= 4 && s.Size <= 24) {
		return fmt.Errorf("style: size %v is not between 4 and 24 points", s.Size)
	}
	if s.Language != "" && s.Language != "en" && added[s.Language] == nil {
		return fmt.Errorf("style: language %q is not en, de or fr; give words for others", s.Language)
	}
	for _, c := range s.Palette {
		if _, err := parseColor(c); err != nil {
			return err
		}
	}
	_, err := s.theme()
	return err
}

func parseColor(s string) (color.NRGBA, error) {
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return color.NRGBA{}, fmt.Errorf("style: colour %q is not of the form #rrggbb", s)
	}
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff}, nil
}

// theme is a style prepared for drawing.
type theme struct {
	font    font.Font
	handler text.Handler
	palette []color.NRGBA
	scale   vg.Length
	grey    bool
	svgText bool
	ttf     []byte // of a font other than the default
}

var standard = &theme{font: regular, handler: handler, palette: palette, scale: 1}

// theme returns the theme of a validated style, or the default one.
func (s Size) theme() *theme {
	t, err := s.Style.theme()
	if err != nil {
		return standard
	}
	return t
}

func (s *Style) theme() (*theme, error) {
	if s == nil {
		return standard, nil
	}
	t := *standard
	if s.Size != 0 {
		t.scale = vg.Length(s.Size / labelSize)
	}
	t.grey, t.svgText = s.Grey, s.SVGText
	if len(s.Palette) > 0 {
		t.palette = nil
		for _, c := range s.Palette {
			parsed, err := parseColor(c)
			if err != nil {
				return nil, err
			}
			t.palette = append(t.palette, parsed)
		}
	}
	face := font.Face{}
	if s.Font != "" && s.Font != "DejaVu Sans" {
		var err error
		if face, t.ttf, err = openFont(s.Font); err != nil {
			return nil, err
		}
		t.font = face.Font
	}
	t.handler = newHandler(face, s.translate())
	return &t, nil
}

var opened sync.Map // fonts by name

type openedFont struct {
	face font.Face
	ttf  []byte
}

func openFont(name string) (font.Face, []byte, error) {
	if known, ok := opened.Load(name); ok {
		return known.(openedFont).face, known.(openedFont).ttf, nil
	}
	ttf := fonts[name]
	if ttf == nil {
		var err error
		if ttf, err = os.ReadFile(name); err != nil {
			return font.Face{}, nil, fmt.Errorf("style: font %q is neither one of %s nor a file that can be read: %w", name, strings.Join(Fonts(), ", "), err)
		}
	}
	parsed, err := opentype.ParseReaderAt(bytes.NewReader(ttf))
	if err != nil || bytes.HasPrefix(ttf, []byte("OTTO")) {
		return font.Face{}, nil, fmt.Errorf("style: font %q is not a TrueType font, which PDF needs (%v)", name, err)
	}
	family := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), " ", "")
	o := openedFont{font.Face{Font: font.Font{Typeface: font.Typeface(family)}, Face: parsed}, ttf}
	opened.Store(name, o)
	return o.face, o.ttf, nil
}

// text returns a text style of the given size.
func (t *theme) text(size float64, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{Color: ink, Font: font.From(t.font, vg.Points(size)), XAlign: x, YAlign: y, Handler: t.handler}
}

// look returns the look of series i of n. With more series than colours, they are taken from the sequential colour map without its light
// end,
// which suits an ordered parameter.
func (t *theme) look(i, n int) look {
	l := look{dashes: dashes[i%len(dashes)], marker: markers[i%len(markers)]}
	if n <= len(t.palette) {
		l.color = t.palette[i]
	} else {
		l.color = sequential(0.9 * float64(i) / float64(n-1))
	}
	return l
}

// greyed replaces every colour by its lightness (ITU-R BT.601).
type greyed struct{ vg.Canvas }

func (g greyed) SetColor(c color.Color) {
	n, _ := color.NRGBAModel.Convert(c).(color.NRGBA)
	y := uint8((299*int(n.R) + 587*int(n.G) + 114*int(n.B) + 500) / 1000)
	g.Canvas.SetColor(color.NRGBA{y, y, y, n.A})
}

// added holds the words that figures add to those of a spec, by language.
var added = map[string]map[string]string{
	"de": {"training length": "Trainingslänge", "Residual": "Residuum", "logarithmic": "logarithmisch", "range by row in brackets": "Bereich je Zeile in Klammern"},
	"fr": {"training length": "longueur d’entraînement", "Residual": "Résidu", "logarithmic": "logarithmique", "range by row in brackets": "plage par ligne entre crochets"},
}

var decimal = regexp.MustCompile(`(\d)\.(\d)`)

// translate returns a function that translates a figure's text into the style's language; nil if there is nothing to translate.
func (s *Style) translate() func(string) string {
	var pairs [][2]string
	for _, words := range []map[string]string{s.Words, added[s.Language]} {
		for from, to := range words {
			pairs = append(pairs, [2]string{from, to})
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { // longest first, so that parts of it are not replaced separately
		if d := len(b[0]) - len(a[0]); d != 0 {
			return d
		}
		return strings.Compare(a[0], b[0])
	})
	var flat []string
	for _, p := range pairs {
		flat = append(flat, p[0], p[1])
	}
	words, comma := strings.NewReplacer(flat...), added[s.Language] != nil
	return func(text string) string {
		if text = words.Replace(text); comma {
			text = decimal.ReplaceAllString(text, "$1,$2")
		}
		return text
	}
}

// part is a run of text that one face can display.
type part struct {
	face font.Face
	text string
}

// parts splits a text where the first face lacks a character that the second one has.
func parts(first, second font.Face, txt string) (out []part) {
	var buffer sfnt.Buffer
	for _, r := range txt {
		face := first
		if glyph, err := first.Face.GlyphIndex(&buffer, r); err != nil || glyph == 0 {
			face = second
		}
		if n := len(out); n > 0 && out[n-1].face.Face == face.Face {
			out[n-1].text += string(r)
		} else {
			out = append(out, part{face, string(r)})
		}
	}
	return out
}
