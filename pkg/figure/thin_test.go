package figure

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"stuffed/pkg/table"
)

// Every dropped point lies between kept points of the same half dot.
func TestThinKeepsWhatIsSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]vg.Point, 50000)
	for i := range all {
		all[i] = vg.Point{X: vg.Length(200 * float64(i) / 50000), Y: vg.Length(r.NormFloat64())}
	}
	kept := thin(all)
	if len(kept) > 4*2*Resolution*3 || kept[0] != all[0] || kept[len(kept)-1] != all[len(all)-1] {
		t.Fatalf("%d points kept", len(kept))
	}
	extremes := func(points []vg.Point) map[int][2]vg.Length {
		out := map[int][2]vg.Length{}
		for _, p := range points {
			cell := int(math.Floor(float64(p.X / (vg.Inch / (2 * Resolution)))))
			e, ok := out[cell]
			if !ok {
				e = [2]vg.Length{p.Y, p.Y}
			}
			out[cell] = [2]vg.Length{min(e[0], p.Y), max(e[1], p.Y)}
		}
		return out
	}
	have, want := extremes(kept), extremes(all)
	for cell, e := range want {
		if have[cell] != e {
			t.Errorf("cell %d: %v, want %v", cell, have[cell], e)
		}
	}
	if !slices.IsSortedFunc(kept, func(a, b vg.Point) int {
		if a.X < b.X {
			return -1
		}
		return 1
	}) {
		t.Error("out of order")
	}
	if short := all[:999]; !slices.Equal(thin(short), short) {
		t.Error("a short line is thinned")
	}
}

// TestBandsReachTheFrame: intervals that include zero stay visible on a logarithmic axis.
func TestBandsReachTheFrame(t *testing.T) {
	points := table.New().AddFloat("x", []float64{1, 2, 3}).AddFloat("y", []float64{1, 2, 4}).AddFloat("lo", []float64{-1, -1, -1}).AddFloat("hi", []float64{2, 4, 8})
	spec := Curves{X: Axis{Column: "x", Label: "x", Unit: "1"}, Y: Axis{Column: "y", Label: "y", Unit: "1", Scale: Log10}}
	filled := func(spec Curves) (n int) {
		f, err := New(spec, points)
		if err != nil {
			t.Fatal(err)
		}
		data, err := f.PNG(72)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if r, _, b, _ := img.At(x, y).RGBA(); b>>8 > 0xe0 && r>>8 < 0xd8 {
					n++
				}
			}
		}
		return n
	}
	bare := filled(spec)
	spec.Lo, spec.Hi = "lo", "hi"
	if with := filled(spec); with < bare+2000 {
		t.Errorf("%d pixels of a band, without it %d", with, bare)
	}
}

// A bracket in the middle of a text does not drop what follows.
func TestWrapKeepsAllWords(t *testing.T) {
	style := standard.text(smallSize, draw.XLeft, draw.YTop)
	for _, s := range []string{"every head (of the state every layer) a point", "Loss (nat)", "a (b c) d (e f) g"} {
		if got := strings.Join(wrap(s, style, 40), " "); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}
