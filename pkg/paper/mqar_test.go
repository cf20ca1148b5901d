package paper

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets/published"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// plantMQAR writes a store of two shapes of Mamba-2, one with two rates in one row and as a row with decay of all, and one of attention.
func plantMQAR(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, MQARPlan, "tables")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	recipes, err := mqarRecipes()
	if err != nil || len(recipes) != 9+9+3 {
		t.Fatal(recipes, err)
	}
	of := map[string]string{} // the last row of each recipe
	for hash, recipe := range recipes {
		of[recipe] = hash
	}
	if of[narrowWeights] == "" || of[asPublished] == "" || of[inOrder] == "" {
		t.Fatal("a recipe has no rows", of)
	}
	decayed := of[decayOfAll]
	row, replica := []string{"a", "a", "a", "c", "d", decayed}, []int64{0, 0, 1, 0, 0, 0}
	score := table.New().AddText("row", row).AddInt("replica", replica).AddText("architecture", []string{"mamba2", "mamba2", "mamba2", "mamba2", "llama", "mamba2"}).
		AddInt("width", []int64{64, 64, 64, 128, 64, 64}).AddInt("state", []int64{8, 8, 8, 16, 0, 8}).AddInt("heads", []int64{2, 2, 2, 4, 1, 2}).
		AddFloat("n_s", []float64{.002048, .002048, .002048, .008192, 0, .002048}).AddFloat("n_s_carried", []float64{.0029, .0029, .0029, .01, .000256, .0029}).
		AddFloat("lr", []float64{.01, .01, .001, .01, .01, .01}).AddInt("tokens", []int64{10, 20, 20, 20, 10, 20}).AddFloat("accuracy", []float64{.9, .5, .51, .75, .99, .53})
	n := len(row)
	task := table.New().AddText("row", append(row, row...)).AddInt("replica", append(replica, replica...)).AddInt("tokens", []int64{10, 20, 20, 20, 10, 20, 10, 20, 20, 20, 10, 20}).AddInt("length", slices.Repeat([]int64{64}, 2*n)).
		AddText("asked", append(slices.Repeat([]string{"pairs 4"}, n), slices.Repeat([]string{"pairs 16"}, n)...)).AddFloat("accuracy", append(slices.Repeat([]float64{1.0}, n), .8, .3, .4, .6, 1, .5)).
		AddFloat("accuracy_low", slices.Repeat([]float64{0.3}, 2*n)).AddFloat("accuracy_high", slices.Repeat([]float64{1.0}, 2*n))
	for name, tab := range map[string]*table.Table{"score": score, "task": task} {
		if err := tab.Write(filepath.Join(dir, name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestAssociations(t *testing.T) {
	root := plantMQAR(t)
	all, err := Associations(root)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	attention, small, decayed, large := all[0], all[1], all[2], all[3]
	if attention.Bytes != 4*256*1024 || attention.Bits != 32*256*1024 || !math.IsNaN(attention.Published) {
		t.Errorf("attention %+v", attention)
	}
	// the last measurement of a row counts, not its best, and of two rates the better one
	if small.Accuracy != .51 || small.Rate != .001 || small.Rates != 2 || small.Bytes != 8192 || small.Published != .52 || len(small.ByPairs) != 2 || small.ByPairs[1].Accuracy != .4 {
		t.Errorf("64 × 8: %+v", small)
	}
	if decayed.Accuracy != .53 || decayed.Recipe != decayOfAll || small.Recipe != "" || decayed.Rates != 1 {
		t.Errorf("64 × 8 with decay of all: %+v", decayed)
	}
	if large.Published != .784 || large.Rates != 1 {
		t.Errorf("128 × 16: %+v", large)
	}
	if held := attention.HeldBits(); math.Abs(held-192) > 0.1 { // 16 different ones of 4,096 values take 12 bits each, less what they exclude
		t.Errorf("16 values without error take %g bits", held)
	}
	report, err := MQARReport(root)
	for _, want := range []string{"llama 1, mamba2 2, mamba2, decay of all 1", "ran for 0 of 4 sizes, 5 runs", "64 × 8, decay of all: 0.530 (published 0.520, +0.010)", "width 64, 1,048,576 B: 0.990 (1.000, 1.000 at 4 to 16 pairs, the last in 64 tokens)", "A partial sweep", "64 × 8: 0.510 (published 0.520, -0.010; its rates 0.500 to 0.510)", "Missing** are 38 of the 39 rows of `mqar`: mamba2 9 of 9, mamba2-narrow 1 of 1, mamba2-in-order 1 of 1, mamba2-usual 1 of 1, deltanet 5 of 5", "Largest distance 0.034"} {
		if err != nil || !strings.Contains(report, want) {
			t.Errorf("%q is not in the report (%v):\n%s", want, err, report)
		}
	}
	for _, id := range []string{"20_mqar", "20_pairs", "20_held"} {
		f, err := Draw(id, root)
		if err != nil || f.Table.Rows() < 4 {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A printed point is the best over shapes of as many bytes, and so is what stands beside it.
func TestBestOfBytes(t *testing.T) {
	m := func(architecture, recipe string, bytes, accuracy float64) Associative {
		return Associative{Architecture: architecture, Recipe: recipe, Bytes: bytes, Accuracy: accuracy}
	}
	got := bestOfBytes([]Associative{m("mamba2", "", 16, .6), m("mamba2", "", 16, .7), m("mamba2", decayOfAll, 16, .5), m("mamba2", "", 8, .4), m("gla", "", 16, .1)})
	if !slices.Equal(got, []bool{false, true, true, true, true}) {
		t.Error(got)
	}
}

func TestBetween(t *testing.T) {
	printed := []published.Recall{{Architecture: "gla", Bytes: 100, Accuracy: .5}, {Architecture: "gla", Bytes: 1600, Accuracy: .9}, {Architecture: "other", Bytes: 400, Accuracy: .1}}
	for bytes, want := range map[float64]float64{96: .5, 100: .5, 400: .7, 1600: .9} {
		if got := between(printed, "gla", bytes); math.Abs(got-want) > 1e-12 {
			t.Errorf("%g bytes: %g, want %g", bytes, got, want)
		}
	}
	if !math.IsNaN(between(printed, "gla", 90)) || !math.IsNaN(between(printed, "gla", 1700)) || !math.IsNaN(between(printed, "kda", 400)) {
		t.Error("values beyond the printed ones")
	}
}

// TestAssociationsHoldBounds: no shipped model recalls more than what it carries can hold.
func TestAssociationsHoldBounds(t *testing.T) {
	for _, root := range []string{filepath.Join("..", "..", study.Shipped), plantMQAR(t)} {
		all, err := Associations(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the study has not run
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if held := a.HeldBits(); !(held <= a.Bits) {
				t.Errorf("%s %d × %d holds %g bits in %g", a.Architecture, a.Width, a.State, held, a.Bits)
			}
		}
	}
}
