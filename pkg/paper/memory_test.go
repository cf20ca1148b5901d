package paper

import (
	"path/filepath"
	"slices"
	"strings"
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

// TestMemoryFindings: what notebooks say beside the claims follows the tables.
func TestMemoryFindings(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join("memory", name+".csv") }
	csv(t, root, at("oracle"), []string{"model", "train_length", "position", "gap", "gap_low", "gap_high"}, [][]any{
		{"text-t64", 64, 64, 0.5, 0.4, 0.6}, {"text-t64", 64, 128, -0.25, -0.5, -0.1}, {"recall-n32-t64", 64, 64, 0.0, -0.1, 0.1}, {"recall-n32-t64", 64, 128, 0.75, 0.5, 1.0}})
	csv(t, root, at("slopes"), []string{"model", "slope", "slope_low", "slope_high"}, [][]any{{"text-t64", 0.125, 0.1, 0.2}})
	csv(t, root, at("remembrance"), []string{"model", "read", "distance", "low", "high"}, [][]any{{"text-t64", 1.0, 0.3, 0.2, 0.4}, {"text-t64", 16.0, 0.002, 0.001, 0.003}})
	csv(t, root, at("states"), []string{"model", "train_length", "position", "distance", "distance_low", "direction"}, [][]any{
		{"text-t64", 64, 0, 0.05, 0.0, 0.0}, {"text-t64", 64, 0, 0.02, 0.0, 0.0}, {"text-t64", 64, 128, 0.5, 0.4, 0.1}, {"text-t64", 64, 128, 0.3, 0.01, 0.3}})
	for notebook, wants := range map[string][]string{
		"03": {"from 2 T", "at most 0.05", "text 1 of 2 (farthest 0.5)", "20 %"},
		"06": {"recall, N 32 0.75 [0.5, 1]; text -0.25 [-0.5, -0.1]", "in 1 of 2", "text 0.12 [0.1, 0.2]", "0.3 … 0.3", "0.002 … 0.002"},
		"11": {""}, "12": {""},
	} {
		text, err := found(root, notebook)
		if err != nil || len(wants[0]) == 0 && text != "" {
			t.Errorf("%s: %q, %v", notebook, text, err)
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("notebook %s says %q, want %q in it", notebook, text, want)
			}
		}
	}
	for _, id := range []string{"06_oracle", "06_remembrance", "03_states"} {
		if _, err := Draw(id, root); err != nil {
			t.Error(err)
		}
	}
}
