package archtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Keys returns the keys of a folder's config.json.
func Keys(t testing.TB, dir string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}
