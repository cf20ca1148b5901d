package prompt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets"
)

func TestTexts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": strings.Repeat("a", 60), "b.txt": strings.Repeat("b", 40) + strings.Repeat("c", 40)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	enc := byteEncoder{}
	docs, err := Texts{Kind: "documents", Corpus: dir}.Make(enc)
	if err != nil || len(docs) != 2 || len(docs[0].IDs) != 60 || len(docs[1].IDs) != 80 || !docs[1].Sources[0].Whole || docs[0].Name == docs[1].Name {
		t.Fatal(docs, err)
	}
	long, err := Texts{Kind: "documents", Corpus: dir, Length: 70}.Make(enc)
	if err != nil || len(long) != 1 || len(long[0].IDs) != 70 || long[0].Sources[0].Whole {
		t.Fatal(long, err)
	}
	mixed, err := Texts{Kind: "shuffled", Corpus: dir, Length: 70, Seed: 2}.Make(enc)
	if err != nil || slices.Equal(mixed[0].IDs, long[0].IDs) || mixed[0].Name == long[0].Name {
		t.Fatal(mixed, err)
	}
	streams, err := Texts{Kind: "stream", Corpus: dir, Length: 100}.Make(enc)
	if err != nil || len(streams) != 1 || len(streams[0].IDs) != 100 || len(streams[0].Sources) != 2 {
		t.Fatal(streams, err)
	}
	for kind, want := range map[string]int32{"newlines": '\n', "constant": 7, "repeated": 'x'} {
		p, err := Texts{Kind: kind, Length: 10, Token: 7, Text: "x"}.Make(enc)
		if err != nil || len(p) != 1 || len(p[0].IDs) != 10 || p[0].IDs[9] != want {
			t.Error(kind, p, err)
		}
	}
	noise, err := Texts{Kind: "random", Length: 20000, Count: 2, Seed: 3}.Make(enc)
	if err != nil || len(noise) != 2 || slices.Equal(noise[0].IDs, noise[1].IDs) || slices.Max(noise[0].IDs) != 255 || slices.Min(noise[0].IDs) != 0 {
		t.Error("random ids", err)
	}
	recall, err := Texts{Kind: "recall", Length: 10, Count: 2, Recall: datasets.NewRecallStream(4, 1)}.Make(nil)
	if err != nil || len(recall) != 2 || recall[0].Name == recall[1].Name || slices.Equal(recall[0].IDs, recall[1].IDs) {
		t.Error(recall, err)
	}
	for want, bad := range map[string]Texts{
		`kind "poem"`:              {Kind: "poem", Length: 5},
		"length is 0":              {Kind: "newlines"},
		"count is -1":              {Kind: "documents", Count: -1},
		"needs a tokenizer":        {Kind: "newlines", Length: 5},
		"the longest of 2":         {Kind: "documents", Corpus: dir, Length: 81},
		"has only 142 tokens":      {Kind: "stream", Corpus: dir, Length: 200},
		"does not exist":           {Kind: "documents", Corpus: dir + "/absent"},
		"recall stream: gap is -1": {Kind: "recall", Length: 5, Recall: datasets.NewRecallStream(-1, 1)},
	} {
		e := datasets.Encoder(enc)
		if want == "needs a tokenizer" {
			e = nil
		}
		if _, err := bad.Make(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestParseLengths(t *testing.T) {
	for text, want := range map[string]string{"64": "[64]", "1K,2k, 1M": "[1024 2048 1048576]", "1K:3K:1K,7": "[1024 2048 3072 7]", "64:200:64": "[64 128 192]"} {
		if got, err := ParseLengths(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "1:2", "4:2:1", "1K:2K:0", "1.5K", "9999999999M"} {
		if got, err := ParseLengths(text); err == nil {
			t.Errorf("%q gave %v", text, got)
		}
	}
}
