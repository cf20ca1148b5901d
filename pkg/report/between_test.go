package report_test

import (
	"os"
	"path/filepath"
	"testing"

	"stuffed/pkg/report"
)

func TestBetween(t *testing.T) {
	readme := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(readme, []byte("a\n<!-- claims -->\nold\n<!-- /claims -->\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := report.Between(readme, "claims", "new\n")
	if err != nil || string(got) != "a\n<!-- claims -->\nnew\n<!-- /claims -->\nb\n" {
		t.Errorf("%q, %v", got, err)
	}
}
