package prompt

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ids.jsonl")
	for text, want := range map[string]string{
		"[1, 2, 3]\n{\"ids\": [4, 5], \"name\": \"four\"}\n{\"ids\": [6], \"depth\": 0.5}\n": "line 1, four, line 3",
		"":              "is empty",
		"[]":            "no ids",
		"{\"id\": [1]}": "no ids",
		"[1, \"a\"]":    "sequence 1",
		"[1] [2":        "sequence 2",
		"[3000000000]":  "sequence 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadIDs(path)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %q", text, err, want)
			}
			continue
		}
		var names []string
		for _, p := range got {
			names = append(names, p.Name)
		}
		if strings.Join(names, ", ") != want || !slices.Equal(got[1].IDs, []int32{4, 5}) {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if _, err := ReadIDs(path + "x"); err == nil {
		t.Error("a missing file was read")
	}
}
