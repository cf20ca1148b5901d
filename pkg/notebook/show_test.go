package notebook

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
)

// browser is a front end that keeps what it is sent.
func browser() (front, *[]*protocol.DisplayData) {
	var sent []*protocol.DisplayData
	return front{notebook: true, send: func(d *protocol.DisplayData) { sent = append(sent, d) }}, &sent
}

func sample() *table.Table {
	return table.New().
		AddText("state", []string{"zero", "carried | <b>"}).
		AddInt("position", []int64{64, -4096}).
		AddFloat("loss", []float64{2.345678, math.NaN()})
}

var sampleUnits = map[string]string{"position": "tokens", "loss": "nat/token", "state": ""}

func TestTableInTheBrowser(t *testing.T) {
	d, sent := browser()
	if err := d.table(sample(), sampleUnits); err != nil {
		t.Fatal(err)
	}
	data := (*sent)[0].Data
	for kind, wants := range map[protocol.MIMEType][]string{
		protocol.MIMETextHTML: {
			`<th style="text-align:left">state</th>`, `<th style="text-align:right">position (tokens)</th>`,
			`<td style="text-align:left">carried | &lt;b&gt;</td>`, `<td style="text-align:right">−4096</td>`, `>2.35<`,
		},
		protocol.MIMETextMarkdown: {"| :-- | --: | --: |", `carried \| <b>`, "| loss (nat/token) |"},
	} {
		for _, want := range wants {
			if !strings.Contains(data[kind].(string), want) {
				t.Errorf("%s: %q is not in\n%s", kind, want, data[kind])
			}
		}
	}
}

func TestTableAsText(t *testing.T) {
	var out bytes.Buffer
	if err := (front{text: &out}).table(sample(), sampleUnits); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"state          position (tokens)  loss (nat/token)\n" +
		"zero                          64              2.35\n" +
		"carried | <b>              −4096                 –\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestLongTableIsCutAndCounted(t *testing.T) {
	var out bytes.Buffer
	long := table.New().AddInt("row", make([]int64, mostRows+7))
	if err := (front{text: &out}).table(long, nil); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != mostRows+2 || !strings.HasSuffix(got, "… and 7 more rows\n") {
		t.Error(got)
	}
}

func TestUnitOfAMissingColumn(t *testing.T) {
	err := (front{text: &bytes.Buffer{}}).table(sample(), map[string]string{"norm": "1"})
	if err == nil || !strings.Contains(err.Error(), "norm") {
		t.Error(err)
	}
}

func curve(t *testing.T, n int) *figure.Figure {
	t.Helper()
	x, y := make([]float64, n), make([]float64, n)
	for i := range x {
		x[i], y[i] = float64(i+1), math.Sin(float64(i))
	}
	f, err := figure.New(figure.Curves{
		X: figure.Axis{Column: "x", Label: "Position", Unit: "tokens"},
		Y: figure.Axis{Column: "y", Label: "Loss", Unit: "nat/token"},
	}, table.New().AddFloat("x", x).AddFloat("y", y))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFigureInline(t *testing.T) {
	d, sent := browser()
	for _, d.svg = range []int{1 << 20, 1 << 10} {
		if err := d.show(curve(t, 40000)); err != nil {
			t.Fatal(err)
		}
	}
	small, large := (*sent)[0].Data, (*sent)[1].Data
	if svg, ok := small[protocol.MIMEImageSVG].(string); !ok || !strings.Contains(svg, "<svg") {
		t.Errorf("no SVG in %v", small)
	}
	if _, ok := large[protocol.MIMEImageSVG]; ok {
		t.Error("the SVG is larger than it may be")
	}
	for _, data := range []map[protocol.MIMEType]any{small, large} {
		if png := data[protocol.MIMEImagePNG].([]byte); !bytes.HasPrefix(png, []byte("\x89PNG")) {
			t.Error("no PNG")
		}
	}
	var out bytes.Buffer
	if err := (front{text: &out}).show(curve(t, 10)); err != nil || !strings.HasPrefix(out.String(), "figure, 3.25 × ") {
		t.Error(err, out.String())
	}
}

func ExampleTable() {
	loss := table.New().AddInt("position", []int64{256, 8192}).AddFloat("loss", []float64{1.7321, 2.25})
	if err := Table(loss, map[string]string{"position": "tokens", "loss": "nat/token"}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// position (tokens)  loss (nat/token)
	//               256              1.73
	//              8192              2.25
}

// TestSmallPictures keeps published notebooks small: the same picture in few colours, nothing beside it.
func TestSmallPictures(t *testing.T) {
	d, sent := browser()
	d.small = true
	f := curve(t, 50)
	if err := d.show(f); err != nil {
		t.Fatal(err)
	}
	got := (*sent)[0].Data
	whole, err := f.PNG(110)
	if err != nil {
		t.Fatal(err)
	}
	few := got[protocol.MIMEImagePNG].([]byte)
	a, err := png.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	b, err := png.Decode(bytes.NewReader(few))
	if err != nil || a.Bounds() != b.Bounds() || len(few) >= len(whole) || got[protocol.MIMEImageSVG] != nil {
		t.Fatalf("%v: %d bytes of %d, %v", err, len(few), len(whole), b.Bounds())
	}
	far := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, c := range [][2]uint32{{r1, r2}, {g1, g2}, {b1, b2}} {
				if max(c[0], c[1])-min(c[0], c[1]) > 24<<8 {
					far++
				}
			}
		}
	}
	if far > 0 {
		t.Errorf("%d of %d values changed visibly", far, 3*a.Bounds().Dx()*a.Bounds().Dy())
	}
}

// The head of a wide or long table stays in sight, and so does its first column.
func TestWideTablesKeepTheirHead(t *testing.T) {
	wide, small := table.New(), table.New().AddInt("a", []int64{1}).AddInt("b", []int64{2})
	for i := range wideColumns + 1 {
		wide.AddFloat(fmt.Sprint("column", i), []float64{1})
	}
	if h := newCells(wide, nil).html(); strings.Count(h, "top:0") != wideColumns+1 || strings.Count(h, "left:0") != 2 || !strings.Contains(h, "overflow:auto") {
		t.Errorf("wide: %s", h)
	}
	if h := newCells(small, nil).html(); strings.Contains(h, "sticky") || strings.Contains(h, "<div") {
		t.Errorf("small: %s", h)
	}
}
