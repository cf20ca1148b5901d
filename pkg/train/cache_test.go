package train

import (
	"os"
	"strings"
	"testing"
)

// The configuration in an exported model's training.json names no folder of a cache; its corpus opens all the same.
func TestCorpusWithoutANamedCache(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("own.txt", []byte(strings.Repeat("A text of one's own. ", 50)), 0o644); err != nil {
		t.Fatal(err)
	}
	data, err := OpenData(DataConfig{Kind: "corpus", Path: "own.txt", Tokenizer: "bytes"})
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
}
