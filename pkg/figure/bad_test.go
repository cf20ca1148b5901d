package figure

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"stuffed/pkg/numeral"
	"stuffed/pkg/table"
)

func TestBadInputIsNamed(t *testing.T) {
	with := func(edit func(*Curves)) func() error {
		return func() error {
			s := lossSpec()
			edit(&s)
			_, err := New(s, lossTable())
			return err
		}
	}
	low, high := 5.0, 3.0
	cases := map[string]struct {
		do   func() error
		want string
	}{
		"missing columns": {with(func(s *Curves) { s.Y.Column, s.Lo = "ppl", "low" }), "ppl, low"},
		"no unit":         {with(func(s *Curves) { s.Y.Unit = "" }), "unit"},
		"scale":           {with(func(s *Curves) { s.X.Scale = "ln" }), `"ln"`},
		"half a band":     {with(func(s *Curves) { s.Hi = "" }), "hi"},
		"width":           {with(func(s *Curves) { s.Width = "wide" }), `"wide"`},
		"limits":          {with(func(s *Curves) { s.Y.Min, s.Y.Max = &low, &high }), "min 5"},
		"name":            {with(func(s *Curves) { s.Name = "N = %d" }), "%d"},
		"text as number":  {with(func(s *Curves) { s.Y.Column = "method" }), "method"},
		"empty table":     {func() error { _, err := New(lossSpec(), table.New()); return err }, "no rows"},
		"nothing to show": {func() error {
			s := lossSpec()
			s.Lo, s.Hi, s.Series, s.Name = "", "", nil, ""
			_, err := New(s, table.New().AddFloat("position", []float64{-1, 0}).AddFloat("loss", []float64{1, math.NaN()}))
			return err
		}, "no value can be shown"},
		"double cell": {func() error {
			all := heatTable()
			if err := all.Append(heatTable()); err != nil {
				return err
			}
			_, err := New(heatSpec(), all)
			return err
		}, "2 rows have the same n and length"},
		"id":          {func() error { return Save(t.TempDir(), "../x", nil, nil) }, `"../x"`},
		"missing":     {func() error { return Check(t.TempDir(), "loss") }, "make figures"},
		"not a map":   {func() error { return Save(t.TempDir(), "loss", sample(t, "loss"), 3) }, "JSON object"},
		"resolution":  {func() error { _, err := sample(t, "loss").PNG(3); return err }, "3 dots"},
		"bins":        {func() error { _, err := Bin([]string{"a"}, nil, 3, Linear); return err }, "1 names for 0 series"},
		"path":        {func() error { return Save(t.TempDir(), "loss", sample(t, "loss"), map[string]any{"c": "/home/me/x"}) }, "/home/me/x"},
		"unsaid kind": {func() error { _, err := decodeSpec([]byte(`{"kind":"pie"}`)); return err }, `"pie"`},
	}
	for name, c := range cases {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func TestPrivate(t *testing.T) {
	for _, s := range []string{"see /home/anna/x.csv", `{"a":"/root/go/bin"}`, `C:\Users`, "/tmp/run/7", "a=/work/anna/x"} {
		if Private([]byte(s)) == nil {
			t.Errorf("%q passes", s)
		}
	}
	if home, err := os.UserHomeDir(); err == nil && len(home) > 5 && Private([]byte("x"+home+"/y")) == nil {
		t.Error("the home folder passes")
	}
	for _, s := range []string{"https://arxiv.org/abs/2410.07145", "nat/token", "bin/stuffed trace figures/a", "1/2", "and/or"} {
		if err := Private([]byte(s)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestSwapUndoes(t *testing.T) {
	var done [][2]string
	fail := errors.New("disk")
	err := swap("new", "old", func(from, to string) error {
		done = append(done, [2]string{from, to})
		if from == "new" {
			return fail
		}
		return nil
	})
	if !errors.Is(err, fail) || !slices.Equal(done, [][2]string{{"old", "new.former"}, {"new", "old"}, {"new.former", "old"}}) {
		t.Errorf("renames %v, error %v", done, err)
	}
}

// TestFolderOfALayerBelowIsCopied simulates a rename that an overlay file system rejects.
func TestFolderOfALayerBelowIsCopied(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.Mkdir(from, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "x.csv"), []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	refuse := func(from, to string) error {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
	}
	if err := moveBy(refuse, from, to); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(to, "x.csv"))
	if _, gone := os.Stat(from); err != nil || string(data) != "a\n" || !errors.Is(gone, fs.ErrNotExist) {
		t.Errorf("%q, %v, %v", data, err, gone)
	}
}

func TestTicks(t *testing.T) {
	labels := func(a Axis, n int, values ...float64) string {
		r := a.rule(values, n, 0)
		var out []string
		for _, tk := range r.ticks {
			if tk.label != "" {
				out = append(out, tk.label)
			}
		}
		a.Label, a.Unit, r.Label, r.Unit = "y", "1", "y", "1"
		return strings.Join(out, " ") + " | " + r.title()
	}
	cases := []struct {
		scale  string
		n      int
		values []float64
		want   string
	}{
		{Log10, 6, []float64{1e-3, 10}, "10⁻³ 10⁻² 10⁻¹ 10⁰ 10¹ | y"},
		{Log10, 3, []float64{1e-12, 1}, "10⁻¹² 10⁻⁸ 10⁻⁴ 10⁰ | y"},
		{Log10, 6, []float64{2, 30}, "2 5 10 20 | y"},
		{Log2, 4, []float64{1.05, 3.33}, "2 3 | y"}, // a single power of two: decimal labels
		{Log2, 9, []float64{64, 16384}, "64 128 256 512 1K 2K 4K 8K 16K | y"},
		{Log2, 4, []float64{64, 16384}, "64 256 1K 4K 16K | y"},
		{Tokens, 4, []float64{0, 65536}, "0 16K 32K 48K 64K | y"},
		{Linear, 5, []float64{-1, 1}, "−1.0 −0.5 0.0 0.5 1.0 | y"},
		{Linear, 4, []float64{0, 4e6}, "0 1 2 3 4 | y (×10⁶)"},
		{Linear, 4, []float64{0, 8e-5}, "0 2 4 6 8 | y (×10⁻⁵)"},
		{Linear, 5, []float64{3, 3}, "2.8 3.0 3.2 | y"},
	}
	for _, c := range cases {
		if have := labels(Axis{Scale: c.scale}, c.n, c.values...); have != c.want {
			t.Errorf("%q %v: ticks %q, want %q", c.scale, c.values, have, c.want)
		}
	}
	for v, want := range map[float64]string{512: "512", 1024: "1K", 1536: "1.5K", 1 << 20: "1M", 1000: "1000", 0: "0", -2048: "−2K", 0.0078125: "0.00781", 0.25: "0.25"} {
		if have := Length(v); have != want {
			t.Errorf("Length(%v) = %q, want %q", v, have, want)
		}
	}
	for v, want := range map[float64]string{0.01234: "0.0123", 2723.4: "2723", 1.2e-5: "1.2×10⁻⁵", 42: "42", math.NaN(): "–"} {
		if have := numeral.Text(v); have != want {
			t.Errorf("Number(%v) = %q, want %q", v, have, want)
		}
	}
}

// TestSequentialRisesInGrey keeps heat maps legible in greyscale print.
func TestSequentialRisesInGrey(t *testing.T) {
	last := -1.0
	for i := range 101 {
		c := sequential(float64(i) / 100)
		grey := 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B)
		if grey <= last {
			t.Fatalf("at %d %% the colour %v is not lighter than before", i, c)
		}
		last = grey
	}
}

// TestLegendStandsClear checks that no part of the legend overlaps a frame.
func TestLegendStandsClear(t *testing.T) {
	names := make([]string, 30)
	for i := range names {
		names[i] = strings.Repeat("x", 1+i)
	}
	var position []int64
	var loss []float64
	for i := range names {
		position, loss = append(position, int64(64+i)), append(loss, float64(i))
	}
	tb := table.New().AddText("n", names).AddInt("position", position).AddFloat("loss", loss)
	s := lossSpec()
	s.Lo, s.Hi = "", ""
	f, err := New(s, tb)
	if err != nil {
		t.Fatal(err)
	}
	if _, h := f.Inches(); h < 3.3 {
		t.Errorf("30 long names in a figure %.2f inches high: the legend has no room of its own", h)
	}
	for i := 1; i < len(loss); i++ {
		loss[i] = math.NaN()
	}
	if f, err = New(s, tb); err != nil {
		t.Fatal(err)
	}
	if _, h := f.Inches(); h > 3 {
		t.Errorf("one curve and 29 without a point in a figure %.2f inches high: the legend lists what is not drawn", h)
	}
}

func TestBinCountsAll(t *testing.T) {
	b, err := Bin([]string{"a", "b"}, [][]float64{{1, 2, 4, math.NaN(), -1}, {8, 1}}, 3, Log2)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := b.Int("count")
	if err != nil || !slices.Equal(counts, []int64{1, 1, 1, 1, 0, 1}) || b.Meta["left_out"] != "2" {
		t.Errorf("counts %v, left out %s, %v", counts, b.Meta["left_out"], err)
	}
}

// Values from the smallest to the largest float64 are drawn at the right positions, with a countable number of ticks.
func TestExtremeValuesAreDrawn(t *testing.T) {
	top := 1.0000000000000006e17
	for name, c := range map[string]struct {
		axis   Axis
		values []float64
	}{
		"log":            {Axis{Scale: Log10}, []float64{1e-300, 1, 1e300}},
		"log2":           {Axis{Scale: Log2}, []float64{math.SmallestNonzeroFloat64, 1, math.MaxFloat64}},
		"denormal":       {Axis{Scale: Log10}, []float64{math.SmallestNonzeroFloat64, 1}},
		"largest":        {Axis{}, []float64{-1.7e308, 1, 1.7e308}},
		"largest tokens": {Axis{Scale: Tokens}, []float64{0, 1, 1.7e308}},
		"smallest":       {Axis{}, []float64{0, math.SmallestNonzeroFloat64}},
		"close":          {Axis{}, []float64{1e17, 1e17 + 64}},
		"one limit":      {Axis{Max: &top}, []float64{1e17, 1e17 + 16}},
		"one value":      {Axis{}, []float64{3}},
	} {
		r := c.axis.rule(c.values, 5, 0.05)
		if n := len(r.ticks); n < 2 || n > 100 || !(r.min < r.max) {
			t.Errorf("%s: %d ticks from %v to %v", name, n, r.min, r.max)
		}
		for _, v := range c.values {
			if p := r.at(v); !(p >= 0 && p <= 1) {
				t.Errorf("%s: %v lies at %v", name, v, p)
			}
		}
		seen := map[string]bool{}
		for _, tick := range r.ticks {
			if p := r.at(tick.at); math.IsNaN(p) || tick.label != "" && seen[tick.label] {
				t.Errorf("%s: tick %q at %v", name, tick.label, tick.at)
			}
			seen[tick.label] = tick.label != ""
		}
	}
	bins, err := Bin([]string{"a"}, [][]float64{{-1.7e308, 0, 1.7e308}}, 4, Linear)
	if err != nil {
		t.Fatal(err)
	}
	if count, _ := bins.Int("count"); fmt.Sprint(count) != "[1 0 1 1]" {
		t.Errorf("bins %v", count)
	}
	low := 1e17
	if err := (Axis{Column: "y", Label: "Y", Unit: "1", Min: &low, Max: &top}).check("y"); err == nil || !strings.Contains(err.Error(), "too close") {
		t.Errorf("limits that labels cannot tell apart: %v", err)
	}
}

// A character that the font lacks would otherwise be dropped or replaced silently.
func TestMissingCharactersAreNamed(t *testing.T) {
	for label, want := range map[string]string{"𝛼": "U+1D6FC", "損失": "U+640D"} {
		s := lossSpec()
		s.Y.Label = label
		if _, err := New(s, lossTable()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", label, err, want)
		}
	}
	s := lossSpec()
	s.Y.Label = "‖h‖₂ ≥ α·Δ₁, 10⁻³ é ß Ж"
	if _, err := New(s, lossTable()); err != nil {
		t.Error(err)
	}
}
