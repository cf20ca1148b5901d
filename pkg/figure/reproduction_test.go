package figure

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func TestReproductionsTellHowFar(t *testing.T) {
	shipped, drawn := t.TempDir(), t.TempDir()
	save := func(dir, id string, spec Curves, factor float64, about any) {
		t.Helper()
		points := lossTable()
		for i := range points.Columns {
			if c := &points.Columns[i]; c.Name == "loss" {
				for k := range c.Floats {
					c.Floats[k] *= factor
				}
			}
		}
		f, err := New(spec, points)
		if err != nil {
			t.Fatal(err)
		}
		if err := Save(dir, id, f, about); err != nil {
			t.Fatal(err)
		}
	}
	other := lossSpec()
	other.Y.Label = "Other"
	for id, c := range map[string]struct {
		spec   Curves
		factor float64
	}{"a_equal": {lossSpec(), 1}, "b_within": {lossSpec(), 1 + 1e-9}, "c_different": {lossSpec(), 1.5}, "d_spec": {other, 1}} {
		save(shipped, id, lossSpec(), 1, map[string]any{"backend": "cpu", "revision": "x"})
		save(drawn, id, c.spec, c.factor, map[string]any{"backend": "go", "revision": "x"})
	}
	save(shipped, "e_not_drawn", lossSpec(), 1, nil)
	save(drawn, "f_new", lossSpec(), 1, nil)
	all, err := Reproductions(drawn, shipped, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{Equal, Within, Different, Different, NotDrawn, NotShipped}
	if len(all) != len(want) {
		t.Fatalf("%+v", all)
	}
	for i, r := range all {
		if r.Verdict != want[i] {
			t.Errorf("%s: %s, want %s", r.ID, r.Verdict, want[i])
		}
	}
	if d := all[1].Distance; !(d > 1e-10 && d < 1e-8) || !strings.Contains(all[1].Where, "loss") {
		t.Errorf("within: %v at %s", d, all[1].Where)
	}
	if strings.Join(all[0].Changed, " ") != "backend" {
		t.Errorf("changed: %v", all[0].Changed)
	}
	if _, err := Reproductions(filepath.Join(drawn, "none"), shipped, 0); err == nil || !strings.Contains(err.Error(), "make figures") {
		t.Error(err)
	}
}

func TestDistance(t *testing.T) {
	one := func(v ...float64) *table.Table { return table.New().AddFloat("v", v) }
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		a, b *table.Table
		want float64
	}{
		{one(1, nan, inf), one(1, nan, inf), 0},
		{one(1, 10), one(2, 10), 0.1},
		{one(1, nan), one(1, 2), inf},
		{one(1), one(1, 2), inf},
		{table.New().AddText("v", []string{"a"}), table.New().AddText("v", []string{"b"}), inf},
		{table.New().AddText("v", []string{"a"}), table.New().AddText("v", []string{"a"}), 0},
	} {
		if got, where := Distance(c.a, c.b); got != c.want {
			t.Errorf("%v at %s, want %v", got, where, c.want)
		}
	}
}
