package paper

import (
	"path/filepath"
	"slices"
	"testing"

	"stuffed/pkg/table"
)

// TestMemoryGoesOn: a model that one of the five tables lacks is run again as a whole, one that all have is not.
func TestMemoryGoesOn(t *testing.T) {
	dir := t.TempDir()
	for name := range (MemoryTables{}).ByName() {
		models := []string{"b", "a", "b"}
		if name == "coherence" {
			models = []string{"b", "b"}
		}
		if err := table.New().AddText("model", models).Write(filepath.Join(dir, name+".csv")); err != nil {
			t.Fatal(err)
		}
	}
	found, have, err := ReadMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !have["b"] || have["a"] {
		t.Errorf("models that are there: %v, want b alone", have)
	}
	for name, f := range found.ByName() {
		if models, err := f.Text("model"); err != nil || !slices.Equal(models, []string{"b", "b"}) {
			t.Errorf("%s holds %v (%v), want b twice", name, models, err)
		}
	}
	if empty, have, err := ReadMemory(t.TempDir()); err != nil || len(have) > 0 || empty.Oracle.Rows() > 0 {
		t.Errorf("an empty folder: %d rows, %v, %v", empty.Oracle.Rows(), have, err)
	}
}

func TestMemoryStarts(t *testing.T) {
	starts, times, left := Memory{Times: 4}.starts(16)
	if want := []int{2, 4, 8, 16, 32, 48, 56, 60, 62}; !slices.Equal(starts, want) {
		t.Errorf("starts %v, want %v", starts, want)
	}
	if times[0] != 0.125 || left[0] != 3.875 || left[8] != 0.125 {
		t.Errorf("in training lengths: from %v, read %v", times, left)
	}
}
