package figure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"codeberg.org/go-fonts/dejavu/dejavuserif"

	"stuffed/pkg/table"
)

func plainCurves(t *testing.T) *Figure {
	t.Helper()
	f, err := New(&Curves{X: Axis{Column: "x", Label: "Position", Unit: "tokens"}, Y: Axis{Column: "y", Label: "Loss", Unit: "nat"}, Series: []string{"run"}, Marks: []Mark{TrainLength(3)}},
		table.New().AddText("run", []string{"a", "a", "b", "b"}).AddFloat("x", []float64{1, 4, 1, 4}).AddFloat("y", []float64{0.5, 1.5, 1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStyleIsWhatAJournalAsksFor(t *testing.T) {
	f, err := plainCurves(t).With(Changes{Width: "88mm", Style: Style{Font: "Liberation Serif", Size: 10, Language: "de", SVGText: true,
		Palette: []string{"#4477aa", "#ee6677"}, Words: map[string]string{"Loss": "Verlust (α⁻³)"}}})
	if err != nil {
		t.Fatal(err)
	}
	if w, _ := f.Inches(); math.Abs(w*25.4-88) > 1e-6 {
		t.Errorf("width %v mm", w*25.4)
	}
	pdf, err := f.PDF()
	if err != nil {
		t.Fatal(err)
	}
	box := regexp.MustCompile(`/MediaBox \[0 0 ([\d.]+) `).FindSubmatch(pdf)
	if want := fmt.Sprintf("%.2f", 88/25.4*72); box == nil || string(box[1]) != want {
		t.Errorf("PDF's box %s, want %s", box, want)
	}
	if !bytes.Contains(pdf, []byte("utf8liberationserif")) || len(pdf) > 100<<10 {
		t.Errorf("PDF of %d bytes: the font is not there, or not as a subset", len(pdf))
	}
	svg, err := f.SVG()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Trainingslänge 3<", ">Verlust (", "font-family:Liberation Serif", ">1,0<", "#4477AA", "#EE6677"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("SVG has no %s", want)
		}
	}
	dir := t.TempDir()
	if err := Save(dir, "styled", f, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir, "styled"); err != nil {
		t.Error(err)
	}
}

// Doubling text size and width gives the same drawing at twice the scale.
func TestSizeScalesAll(t *testing.T) {
	small := plainCurves(t)
	w, h := small.Inches()
	large, err := small.With(Changes{Width: fmt.Sprintf("%vin", 2*w-2/72.), Style: Style{Size: 16}})
	if err != nil {
		t.Fatal(err)
	}
	if w2, h2 := large.Inches(); math.Abs(w2-(2*w-2/72.)) > 1e-9 || math.Abs(h2-(2*h-2/72.)) > 1e-9 { // the 1 pt margin does not scale
		t.Errorf("%v × %v, of %v × %v", w2, h2, w, h)
	}
}

func TestGreyHasNoColour(t *testing.T) {
	f, err := plainCurves(t).With(Changes{Style: Style{Grey: true}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := f.PNG(100)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for x := range img.Bounds().Dx() {
		for y := range img.Bounds().Dy() {
			if r, g, b, _ := img.At(x, y).RGBA(); r != g || g != b {
				t.Fatalf("pixel %d, %d: %d %d %d", x, y, r, g, b)
			}
		}
	}
}

func TestStyleFileAndRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "style.json")
	if err := os.WriteFile(path, []byte(`{"width": "3.5in", "font": "DejaVu Serif", "set": ["y.scale=log10", "y.min=0.1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadChanges(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := plainCurves(t).With(c)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Spec.(*Curves); s.Width != "3.5in" || s.Y.Scale != Log10 || *s.Y.Min != 0.1 || s.Style.Font != "DejaVu Serif" {
		t.Errorf("%+v", s)
	}
	if err := os.WriteFile(path, []byte(`{"fonts": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadChanges(path); err == nil || !strings.Contains(err.Error(), "fonts") {
		t.Errorf("unknown field: %v", err)
	}
	for want, c := range map[string]Changes{
		"5mm":        {Width: "5mm"},
		"88":         {Width: "88"},
		"Comic":      {Style: Style{Font: "Comic"}},
		"red":        {Style: Style{Palette: []string{"red"}}},
		"xx":         {Style: Style{Language: "xx"}},
		"points":     {Style: Style{Size: 99}},
		"path=value": {Set: []string{"y"}},
		"nowhere":    {Set: []string{"nowhere.x=1"}},
		"unknown":    {Set: []string{"nothing=1"}},
	} {
		if _, err := plainCurves(t).With(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Shipped figures of every kind are exported with all of their points.
func TestExportWritesVegaLiteWithItsData(t *testing.T) {
	const shipped = "../../figures"
	ids, err := List(shipped)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	out := t.TempDir()
	for _, id := range ids {
		f, _, err := Load(shipped, id)
		if err != nil {
			t.Fatal(err)
		}
		if seen[f.Spec.kind()] {
			continue
		}
		seen[f.Spec.kind()] = true
		if err := Export(shipped, id, out); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out, id, id+".vl.json"))
		if err != nil {
			t.Fatal(err)
		}
		var spec struct {
			Data struct{ Values []map[string]any }
		}
		if err := json.Unmarshal(data, &spec); err != nil || len(spec.Data.Values) != f.Points.Rows() {
			t.Errorf("%s: %d rows, %v", id, len(spec.Data.Values), err)
		}
		if _, err := os.Stat(filepath.Join(out, id, "redraw.py")); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != len(kinds) {
		t.Errorf("kinds among the shipped figures: %v", seen)
	}
}

// A custom font may be anywhere, usually under an absolute path; the figure can still be saved and redrawn.
func TestFontMayBeAnyFile(t *testing.T) {
	dir := t.TempDir()
	font := filepath.Join(dir, "Own.ttf")
	if err := os.WriteFile(font, dejavuserif.TTF, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := plainCurves(t).With(Changes{Style: Style{Font: font}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, "own", f, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir, "own"); err != nil {
		t.Error(err)
	}
}

func ExampleFigure_With() {
	f, err := New(Curves{X: Axis{Column: "x", Label: "Position", Unit: "tokens"}, Y: Axis{Column: "y", Label: "Loss", Unit: "nat"}},
		table.New().AddFloat("x", []float64{1, 2}).AddFloat("y", []float64{2, 1}))
	if err != nil {
		panic(err)
	}
	paper, err := f.With(Changes{Width: "88mm", Style: Style{Font: "Liberation Serif", Language: "de"}})
	if err != nil {
		panic(err)
	}
	w, _ := paper.Inches()
	fmt.Printf("%.0f mm\n", w*25.4)
	// Output: 88 mm
}

// Empty bins have no logarithm; heads in arbitrary table order are sorted in the heat map.
func TestVegaLiteDrawsWhatThePrintShows(t *testing.T) {
	histogram, err := New(Histograms{Left: "l", Right: "r", X: Axis{Label: "X", Unit: "1"}, Count: Axis{Column: "n", Label: "N", Unit: "1", Scale: Log10}},
		table.New().AddFloat("l", []float64{0, 1}).AddFloat("r", []float64{1, 2}).AddInt("n", []int64{0, 8}))
	if err != nil {
		t.Fatal(err)
	}
	heat, err := New(HeatMap{X: Axis{Column: "head", Label: "Head", Unit: "1"}, Y: Axis{Column: "layer", Label: "Layer", Unit: "1"}, Value: Axis{Column: "v", Label: "V", Unit: "1"}},
		table.New().AddInt("head", []int64{4, 2}).AddText("layer", []string{"b", "a"}).AddFloat("v", []float64{1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	for f, want := range map[*Figure][]string{histogram: {`max(datum[\"n\"], 0.5)`}, heat: {`"field":"head","sort":"ascending"`, `"field":"layer","sort":null`}} {
		spec, err := f.VegaLite()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("no %s in %s", w, text)
			}
		}
	}
}
