package figure

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"image"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"stuffed/pkg/table"
)

var update = flag.Bool("update", false, "write the golden images anew")

// TestGolden compares every kind of figure, pixel by pixel, with an image that a person has inspected.
func TestGolden(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(samples())) {
		t.Run(name, func(t *testing.T) {
			f := sample(t, name)
			have, err := f.PNG(72)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".png")
			if *update {
				if err := os.WriteFile(path, have, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n, of := different(t, have, want); n > 0 {
				t.Errorf("%d of %d pixels differ from %s; look at both, then run with -update", n, of, path)
			}
		})
	}
}

func sample(t *testing.T, name string) *Figure {
	t.Helper()
	f, err := samples()[name]()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func different(t *testing.T, a, b []byte) (n, of int) {
	t.Helper()
	var images [2]image.Image
	for i, data := range [][]byte{a, b} {
		var err error
		if images[i], err = png.Decode(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if images[0].Bounds() != images[1].Bounds() {
		t.Fatalf("size %v, want %v", images[0].Bounds().Size(), images[1].Bounds().Size())
	}
	box := images[0].Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			if images[0].At(x, y) != images[1].At(x, y) {
				n++
			}
		}
	}
	return n, box.Dx() * box.Dy()
}

func TestPrintSizes(t *testing.T) {
	for name := range samples() {
		w, h := sample(t, name).Inches()
		if math.Abs(w-3.25) > 1e-9 && math.Abs(w-6.75) > 1e-9 || h > 9.3 {
			t.Errorf("%s: %.3f × %.3f inches, want a width of 3.25 or 6.75 and at most 9.3 high", name, w, h)
		}
	}
	f := sample(t, "loss")
	data, err := f.PNG(300)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || img.Width != 975 {
		t.Errorf("width of the PNG %d (%v), want 975 = 3.25 in at 300 dpi", img.Width, err)
	}
	if !bytes.Contains(data[:60], []byte{'p', 'H', 'Y', 's', 0, 0, 0x2e, 0x23}) {
		t.Error("the PNG does not say that it has 300 dots per inch")
	}
}

func TestTextIsReadableAndFontsAreInside(t *testing.T) {
	if labelSize < 7 || smallSize < 7 {
		t.Error("text under 7 pt")
	}
	f := sample(t, "counts")
	pdf, err := f.PDF()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/FontFile2", "/Identity-H", "/ToUnicode"} {
		if !bytes.Contains(pdf, []byte(want)) {
			t.Errorf("the PDF has no %s: its font is not embedded as Unicode", want)
		}
	}
	svg, err := f.SVG()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(svg, []byte("<text")) {
		t.Error("the SVG depends on the viewer's fonts")
	}
}

func TestSameBytesEveryTime(t *testing.T) {
	for name := range samples() {
		a, err := sample(t, name).files(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := sample(t, name).files(name)
		if err != nil {
			t.Fatal(err)
		}
		for file := range a {
			if !bytes.Equal(a[file], b[file]) {
				t.Errorf("%s differs between two runs", file)
			}
		}
	}
}

func TestSaveAndCheck(t *testing.T) {
	dir := t.TempDir()
	for name := range samples() {
		if err := Save(dir, name, sample(t, name), map[string]any{"command": "stuffed trace", "seeds": []int{1}}); err != nil {
			t.Fatal(err)
		}
		if err := Check(dir, name); err != nil {
			t.Error(err)
		}
	}
	ids, err := List(dir)
	if err != nil || len(ids) != len(samples()) {
		t.Fatalf("List: %v, %v", ids, err)
	}
	before := read(t, dir, "loss", "loss.png")
	if err := Redraw(dir, "loss"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, read(t, dir, "loss", "loss.png")) {
		t.Error("redrawing changed the picture")
	}
	var manifest struct {
		Command string
		Files   map[string]string
	}
	if err := json.Unmarshal(read(t, dir, "loss", manifestName), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Command != "stuffed trace" || len(manifest.Files) != 5 {
		t.Errorf("manifest after redrawing: %+v", manifest)
	}
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCheckSeesEveryEdit(t *testing.T) {
	edits := map[string]func(string) string{
		"loss.csv":      func(s string) string { return strings.Replace(s, ",2.", ",2.0", 1) },
		"loss.svg":      func(s string) string { return s + "<!-- -->" },
		"loss.pdf":      func(s string) string { return s + "%" },
		"loss.png":      func(s string) string { return s + "x" },
		"spec.json":     func(s string) string { return strings.Replace(s, "Position", "Place", 1) },
		"manifest.json": func(s string) string { return strings.Replace(s, `"loss.csv": "`, `"loss.csv": "0`, 1) },
	}
	for file, edit := range edits {
		dir := t.TempDir()
		if err := Save(dir, "loss", sample(t, "loss"), map[string]any{}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "loss", file)
		if err := os.WriteFile(path, []byte(edit(string(read(t, path)))), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Check(dir, "loss"); err == nil {
			t.Errorf("an edited %s passes", file)
		}
	}
}

func TestEditedTableChangesTheFigure(t *testing.T) {
	dir := t.TempDir()
	if err := Save(dir, "loss", sample(t, "loss"), map[string]any{}); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir, "loss", "loss.svg")
	path := filepath.Join(dir, "loss", "loss.csv")
	points, err := table.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := points.Float("loss")
	if err != nil {
		t.Fatal(err)
	}
	loss[3] += 0.5
	if err := points.Write(path); err != nil {
		t.Fatal(err)
	}
	if Check(dir, "loss") == nil {
		t.Error("the edited table passes")
	}
	if err := Redraw(dir, "loss"); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, read(t, dir, "loss", "loss.svg")) {
		t.Error("the edited table draws the same figure")
	}
	if err := Check(dir, "loss"); err != nil {
		t.Errorf("redrawn, but %v", err)
	}
}

func TestCheckSeesChangedInputs(t *testing.T) {
	root := t.TempDir()
	input := filepath.Join(root, "results.csv")
	write := func(s string) [32]byte {
		if err := os.WriteFile(input, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256([]byte(s))
	}
	hash := write("a\n1\n")
	manifest := map[string]any{"inputs": map[string]string{"results.csv": hex(hash), "absent.csv": "00"}}
	dir := filepath.Join(root, "figures")
	if err := Save(dir, "loss", sample(t, "loss"), manifest); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir, "loss"); err != nil {
		t.Error(err)
	}
	write("a\n2\n")
	if err := Check(dir, "loss"); err == nil || !strings.Contains(err.Error(), "results.csv") {
		t.Errorf("a changed input: %v", err)
	}
}

func hex(h [32]byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, b := range h {
		s.WriteByte(digits[b>>4])
		s.WriteByte(digits[b&15])
	}
	return s.String()
}

func TestFailedSaveKeepsTheFormerFigure(t *testing.T) {
	dir := t.TempDir()
	if err := Save(dir, "loss", sample(t, "loss"), map[string]any{}); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir, "loss", "loss.csv")
	full := map[string][]byte{"loss.csv": []byte("x"), "no/such/folder\x00": nil} // the second name is invalid
	if err := writeFolder(filepath.Join(dir, "loss"), full); err == nil {
		t.Fatal("an impossible file name was written")
	}
	if !bytes.Equal(before, read(t, dir, "loss", "loss.csv")) {
		t.Error("the former figure is gone")
	}
	if err := Check(dir, "loss"); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Processes that draw the same figure for the first time concurrently take turns; the result is complete.
func TestManyWriteOneFolder(t *testing.T) {
	for range 40 {
		parent := t.TempDir()
		path := filepath.Join(parent, "x")
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() {
				text := []byte(strconv.Itoa(i))
				if err := writeFolder(path, map[string][]byte{"a": text, "b": text}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		a, errA := os.ReadFile(filepath.Join(path, "a"))
		b, errB := os.ReadFile(filepath.Join(path, "b"))
		left, errLeft := os.ReadDir(parent)
		if err := errors.Join(errA, errB, errLeft); err != nil || !bytes.Equal(a, b) || len(left) != 1 {
			t.Fatalf("%v: %q and %q, beside %d others", err, a, b, len(left)-1)
		}
	}
}
