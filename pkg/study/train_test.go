//go:build !race

// The pure-Go backend forms pointers past the end of slices (compute v0.1.6, nosimd_small_transposed.go:108), which makes the race
// detector's pointer checks abort the process.

package study

import (
	"context"
	"path/filepath"
	"testing"

	"stuffed/pkg/table"
	"stuffed/xla"
)

// A small row is actually trained on the pure-Go backend: every table is present and agrees with the plan.
func TestTrainedRow(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePlan([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	row := rows[0]
	row.Config.Keep = []string{"carried-2"}
	row.Hash = row.Config.Hash()
	s := testStore(t, t.TempDir())
	w := Worker{Store: s, Runner: &Trainer{Device: d}, Log: t.Logf}
	sum, err := w.Run(context.Background(), []Row{row})
	if err != nil || sum.Done != 1 {
		status, _ := s.Status([]Row{row})
		t.Fatalf("%+v, %v, %+v", sum, err, status)
	}
	dir := filepath.Join(s.Dir, "tables")
	if _, _, err := s.Collect([]Row{row}, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		"training": 4 * 8,                // members × steps
		"outcome":  4 * 2,                // members × (one share and the end)
		"heads":    4 * 4,                // members × heads
		"loss":     4 * 2 * (4 - 2 + 10), // members × moments × buckets, see below
	} {
		got, err := table.Read(filepath.Join(dir, name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		if name == "loss" {
			continue
		}
		if got.Rows() != want {
			t.Errorf("%s has %d rows, want %d", name, got.Rows(), want)
		}
	}
	if _, err := table.Read(filepath.Join(dir, "age.parquet")); err != nil {
		t.Error(err)
	}
	outcome, err := table.Read(filepath.Join(dir, "outcome.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	inside, err := outcome.Float("inside")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range inside {
		if !(v > 1 && v < 6) {
			t.Errorf("row %d: loss within the window is %g, want about ln 8 … ln 32", i, v)
		}
	}
	if models, _ := filepath.Glob(s.RowDir(row.Hash) + "/models/*/model.safetensors"); len(models) != 1 || filepath.Base(filepath.Dir(models[0])) != "carried-2" {
		t.Errorf("kept models %v, want that of carried-2", models)
	}
}
