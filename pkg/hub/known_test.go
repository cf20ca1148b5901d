package hub

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: the table in README.md is that of [Known].
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), markdown()) {
		t.Errorf("README.md must hold this table:\n%s", markdown())
	}
	for _, k := range Known {
		if n, ok := ParseName(k.Name); !ok || n.Repo != k.Name {
			t.Errorf("%q is no name", k.Name)
		}
	}
}
