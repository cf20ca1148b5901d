package view

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func states() *table.Table {
	var prompt []string
	var position, layer, head []int64
	var norm []float64
	for p := range 3 {
		for l := range 2 {
			for h := range 4 {
				prompt, position, layer, head = append(prompt, "a"), append(position, int64(16*p)), append(layer, int64(l)), append(head, int64(h))
				norm = append(norm, float64(1+p+10*h+100*l))
			}
		}
	}
	norm[0] = math.NaN()
	return table.New().AddText("prompt", prompt).AddInt("position", position).AddInt("layer", layer).AddInt("head", head).AddFloat("norm", norm)
}

// The embedded scripts are those that the README names.
func TestLibraryIsPinned(t *testing.T) {
	readme, err := library.ReadFile("vega/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range scripts {
		f, err := library.Open("vega/" + name + ".min.js.gz")
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, z); err != nil {
			t.Fatal(err)
		}
		if line := fmt.Sprintf("| %s.min.js | %x |", name, h.Sum(nil)); !strings.Contains(string(readme), line) {
			t.Errorf("the README lacks %s", line)
		}
	}
}

func TestChartsCarryTheirPoints(t *testing.T) {
	losses := table.New().AddText("prompt", []string{"</script>", "b"}).AddInt("position", []int64{0, 1}).AddFloat("loss", []float64{2, 1})
	for name, make := range map[string]func() (View, error){
		"map":      func() (View, error) { return HeadMap(states(), "norm", "Norm") },
		"lines":    func() (View, error) { return Lines(losses, "position", "Position", "loss", "Loss", "prompt") },
		"together": func() (View, error) { return Together(losses, states(), "norm", "Norm") },
	} {
		v, err := make()
		if err != nil {
			t.Fatal(name, err)
		}
		path := filepath.Join(t.TempDir(), name+".html")
		if err := v.Save(path); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(page)
		if strings.Count(text, "</script>") != 1 {
			t.Errorf("%s: a text ends the script", name)
		}
		for _, address := range []string{"src=", "href=", "import("} {
			if strings.Contains(text, address) {
				t.Errorf("%s: the page fetches by %s", name, address)
			}
		}
		if _, err := json.Marshal(v.Spec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := HeadMap(states(), "rms", "RMS"); err == nil || !strings.Contains(err.Error(), "rms") {
		t.Errorf("a column that is not there: %v", err)
	}
}

func TestThinnedKeepsTheLastPositions(t *testing.T) {
	rows, err := rowsOf(states(), "prompt", "position", "layer", "head", "norm")
	if err != nil {
		t.Fatal(err)
	}
	some, last := thinned(rows, 2)
	if len(some) != 16 || len(last) != 8 {
		t.Errorf("%d rows, %d last", len(some), len(last))
	}
	for _, r := range last {
		if r["position"] != 32.0 {
			t.Errorf("last at %v", r["position"])
		}
	}
}

func TestChangedIsBesideTheUntouchedModel(t *testing.T) {
	// Two prompts of three tokens; buckets of two: positions 0 and 1, then 2.
	effect := table.New().AddText("prompt", []string{"a", "a", "a", "b", "b", "b"}).AddInt("position", []int64{0, 1, 2, 0, 1, 2}).
		AddFloat("loss", []float64{1, 2, 3, 3, 2, 5}).AddFloat("changed", []float64{1, 4, 3, 3, 4, 9}).
		AddFloat("change", []float64{0, 2, 0, 0, 2, 4}).AddText("text", []string{"x", "y", "z", "x", "y", "<"})
	curves, err := byPosition(effect, 2)
	if err != nil {
		t.Fatal(err)
	}
	positions, _ := curves.Int("position")
	loss, _ := curves.Float("loss")
	model, _ := curves.Text("model")
	if got := fmt.Sprint(positions, loss, model); got != "[0 2 0 2] [2 4 3 6] [untouched untouched changed changed]" {
		t.Error(got)
	}
	v, err := Changed(effect, 2)
	if err != nil {
		t.Fatal(err)
	}
	page, err := v.html("view", false)
	if err != nil || !strings.Contains(page, "&lt;</span>") || !strings.Contains(page, `"model":"untouched"`) {
		t.Error(err, page)
	}
	for name, bad := range map[string]func() (View, error){
		"text":      func() (View, error) { return Changed(curves, 2) },
		"one token": func() (View, error) { return Changed(effect, 0) },
	} {
		if _, err := bad(); err == nil || !strings.Contains(err.Error(), name) {
			t.Error(name, err)
		}
	}
}

func ExampleTokens() {
	t := table.New().AddInt("position", []int64{0, 1}).AddText("text", []string{"a <b>", " c"}).AddFloat("loss", []float64{0, 2})
	v, err := Tokens(t, "loss", "loss (nat)")
	fmt.Println(v.Title, strings.Contains(v.Body, "a &lt;b&gt;"), err)
	// Output: Tokens by loss (nat) true <nil>
}
