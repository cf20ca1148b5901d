package paper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRowsWithoutARevisionAreNamed(t *testing.T) {
	root := t.TempDir()
	for row, text := range map[string]string{"old/rows/a": `{"run": {"command": "x"}}`, "old/rows/b": `{"run": {"revision": "c0ffee"}}`, "new/rows/c": `{"run": {"revision": "c0ffee"}}`} {
		if err := os.MkdirAll(filepath.Join(root, row), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, row, "manifest.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said, err := Unrevised(root)
	if err != nil || !strings.Contains(said, "1 of 3 rows") || !strings.Contains(said, "old 1 of 2.") {
		t.Errorf("%q, %v; want one row of three, of the study old", said, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "old", "rows", "a")); err != nil {
		t.Fatal(err)
	}
	if said, err := Unrevised(root); err != nil || said != "" {
		t.Errorf("%q, %v where every row has one", said, err)
	}
}
