package study

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine returns a store with some of the rows, produced by a runner that writes mark into its tables.
func machine(t *testing.T, mark float64, rows ...Row) string {
	t.Helper()
	dir := t.TempDir()
	w := &Worker{Store: testStore(t, dir), Runner: marked{mark: mark}}
	if sum, err := w.Run(t.Context(), rows); err != nil || sum.Done != len(rows) {
		t.Fatal(sum, err)
	}
	return dir
}

// marked is a runner that writes its mark into one table of every row.
type marked struct {
	slow
	mark float64
}

func (m marked) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	tables, err := m.slow.Run(ctx, row, dir, report)
	if err == nil {
		tables["loss"].Columns[0].Floats[0] = m.mark
	}
	return tables, err
}

// Joining three machines' stores in any order gives the same rows, byte for byte, and reports every row produced more than once, whether
// identical or not.
func TestJoinedInEveryOrder(t *testing.T) {
	rows, err := stateRows(5)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := machine(t, 0, rows[0], rows[1], rows[3]), machine(t, 1, rows[1], rows[2]), machine(t, 0, rows[3], rows[0])
	var first map[string]string
	for _, order := range [][]string{{a, b, c}, {c, b, a}, {b, a, c}, {b, c, a}, {a, c, b}, {c, a, b}} {
		s := testStore(t, t.TempDir())
		j, err := s.Join(rows, order)
		if err != nil {
			t.Fatal(err)
		}
		if len(j.Taken) != 4 || len(j.Known)+len(j.Damaged)+len(j.Strange) > 0 {
			t.Fatalf("%+v", j)
		}
		if len(j.Conflicts) != 1 || !strings.Contains(j.Conflicts[0], rows[1].Hash) || !strings.HasSuffix(j.Conflicts[0], "differs in loss.parquet") {
			t.Errorf("conflicts %q: want that of row %s in loss.parquet alone", j.Conflicts, rows[1].Hash)
		}
		got, err := hashes(s.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if len(got) != len(first) {
			t.Errorf("%d files, before %d", len(got), len(first))
		}
		for name, sum := range got {
			if first[name] != sum {
				t.Errorf("%s depends on the order of the stores", name)
			}
		}
		if _, missing, err := s.Collect(rows, t.TempDir()); err != nil || len(missing) != 1 || missing[0].Hash != rows[4].Hash {
			t.Errorf("missing %v, %v", missing, err)
		}
	}
}

// A second join changes nothing; an existing row is kept even if another store has a different version.
func TestJoinKeepsWhatIsThere(t *testing.T) {
	rows, err := stateRows(2)
	if err != nil {
		t.Fatal(err)
	}
	here, other := machine(t, 0, rows[0]), machine(t, 1, rows...)
	s := testStore(t, here)
	before, err := hashes(s.RowDir(rows[0].Hash))
	if err != nil {
		t.Fatal(err)
	}
	for turn, want := range []Joined{{Taken: []string{rows[1].Hash}, Known: []string{rows[0].Hash}}, {Known: []string{rows[0].Hash, rows[1].Hash}}} {
		j, err := s.Join(rows, []string{other})
		slices.Sort(want.Known)
		if err != nil || !slices.Equal(j.Taken, want.Taken) || !slices.Equal(j.Known, want.Known) || len(j.Conflicts) != 1 {
			t.Fatalf("turn %d: %+v, %v", turn, j, err)
		}
	}
	after, err := hashes(s.RowDir(rows[0].Hash))
	if err != nil || len(difference(before, after)) > 0 {
		t.Errorf("the row that was there changed in %v, %v", difference(before, after), err)
	}
	if left, _ := os.ReadDir(s.path("tmp")); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

// Dropped weights are not a conflict; damaged rows and rows of other plans are reported and not copied, and source stores are not
// modified.
func TestJoinNamesWhatItLeavesOut(t *testing.T) {
	rows, err := stateRows(3)
	if err != nil {
		t.Fatal(err)
	}
	a, b := machine(t, 0, rows...), machine(t, 0, rows[1])
	damaged := filepath.Join(a, "rows", rows[0].Hash, "loss.parquet")
	if err := os.WriteFile(damaged, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := hashes(a)
	if err != nil {
		t.Fatal(err)
	}
	s := testStore(t, t.TempDir())
	j, err := s.Join(rows[:2], []string{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(j.Taken, []string{rows[1].Hash}) || len(j.Conflicts) > 0 || len(j.Damaged) != 1 || !strings.Contains(j.Damaged[0], "loss.parquet") ||
		len(j.Strange) != 1 || filepath.Base(j.Strange[0]) != rows[2].Hash {
		t.Errorf("%+v", j)
	}
	if after, err := hashes(a); err != nil || len(difference(before, after)) > 0 {
		t.Errorf("the store that was joined changed: %v, %v", difference(before, after), err)
	}
	if _, err := s.Join(rows, []string{filepath.Join(a, "none")}); err == nil || !strings.Contains(err.Error(), "name the folder of a store") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
