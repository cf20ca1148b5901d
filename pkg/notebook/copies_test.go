package notebook

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// What is done to a copy never reaches the shipped notebook, and no new version of a shipped one overwrites what somebody did.
func TestCopiesKeepWhatIsOwn(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "lab")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"01.ipynb", "02.ipynb", "03.ipynb", "04.ipynb", "python/tables.ipynb", ".ipynb_checkpoints/01.ipynb", "Untitled.ipynb"} {
		write(filepath.Join(from, name), "shipped "+name)
	}
	copies := func(want ...string) {
		t.Helper()
		behind, err := Copies(from, to)
		if err != nil || !reflect.DeepEqual(behind, want) {
			t.Fatalf("kept behind %q, %v; want %q", behind, err, want)
		}
	}
	is := func(path, want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
		}
	}
	copies()
	is(filepath.Join(to, "python/tables.ipynb"), "shipped python/tables.ipynb")
	for _, name := range []string{".ipynb_checkpoints", "Untitled.ipynb"} {
		if _, err := os.Stat(filepath.Join(to, name)); !os.IsNotExist(err) {
			t.Errorf("%s was copied: %v", name, err)
		}
	}
	write(filepath.Join(to, "02.ipynb"), "run and saved")    // its shipped file stays
	write(filepath.Join(to, "03.ipynb"), "changed and kept") // its shipped file changes too
	write(filepath.Join(to, "own.ipynb"), "own")
	if err := os.Remove(filepath.Join(to, "04.ipynb")); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(from, "01.ipynb"), "newer 01")
	write(filepath.Join(from, "03.ipynb"), "newer 03")
	for range 2 { // says so again until the copy is removed
		copies("03.ipynb")
		is(filepath.Join(to, "01.ipynb"), "newer 01")
		is(filepath.Join(to, "02.ipynb"), "run and saved")
		is(filepath.Join(to, "03.ipynb"), "changed and kept")
		is(filepath.Join(to, "04.ipynb"), "shipped 04.ipynb")
		is(filepath.Join(to, "own.ipynb"), "own")
		is(filepath.Join(from, "02.ipynb"), "shipped 02.ipynb")
	}
	if err := os.Remove(filepath.Join(to, "03.ipynb")); err != nil {
		t.Fatal(err)
	}
	copies()
	is(filepath.Join(to, "03.ipynb"), "newer 03")
	write(filepath.Join(to, ".copied.json"), "[")
	if _, err := Copies(from, to); err == nil {
		t.Error("a damaged record passes")
	}
}
