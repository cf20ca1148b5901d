package figure

import (
	"math"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func TestCompare(t *testing.T) {
	save := func(name string, loss ...float64) string {
		dir := t.TempDir()
		names := make([]string, len(loss))
		for i := range names {
			names[i] = name
		}
		position := []float64{1, 2, 3, 4}[:len(loss)]
		f, err := New(Curves{X: Axis{Column: "position", Label: "Position", Unit: "tokens"}, Y: Axis{Column: "loss", Label: "Loss", Unit: "nat/token"},
			Series: []string{"model"}}, table.New().AddText("model", names).AddFloat("position", position).AddFloat("loss", loss))
		if err != nil {
			t.Fatal(err)
		}
		if err := Save(dir, "x", f, nil); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	base := save("a", 2, -4, math.NaN())
	if err := Compare(base, save("a", 2, -4, math.NaN()), "x", 0); err != nil {
		t.Error(err)
	}
	if err := Compare(base, save("a", 2.03, -4, math.NaN()), "x", 0.01); err != nil {
		t.Error(err)
	}
	for want, other := range map[string]string{
		"row 1 is 2, in the other 2.05": save("a", 2.05, -4, math.NaN()),
		"row 3 is NaN":                  save("a", 2, -4, 1),
		"3 rows of":                     save("a", 2, -4),
		`row 1 is "a"`:                  save("b", 2, -4, math.NaN()),
		"figure x is not in":            t.TempDir(),
	} {
		if err := Compare(base, other, "x", 0.01); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := Compare(base, base, "x", math.NaN()); err == nil {
		t.Error("a tolerance that is not a number passes")
	}
}
