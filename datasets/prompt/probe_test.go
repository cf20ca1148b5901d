package prompt

import (
	"slices"
	"strings"
	"testing"

	"stuffed/datasets"
)

func TestNewlineAndConstant(t *testing.T) {
	id, err := Newline(byteEncoder{})
	if err != nil || id != '\n' {
		t.Fatal(id, err)
	}
	p, err := Constant(id, 1000)
	if err != nil || len(p.IDs) != 1000 || p.IDs[999] != '\n' {
		t.Fatal(err)
	}
	if _, err := Constant(-1, 5); err == nil {
		t.Error("token -1")
	}
	r, err := Repeated(byteEncoder{}, "abc", 8)
	if err != nil || string([]byte{byte(r.IDs[6]), byte(r.IDs[7])}) != "ab" {
		t.Error(r.IDs, err)
	}
	if _, err := Repeated(byteEncoder{}, "", 8); err == nil {
		t.Error("empty text")
	}
}

func TestStreams(t *testing.T) {
	c, err := datasets.FromDocuments("three", []datasets.Document{
		{ID: "a", Domain: "x", Split: "test", Text: strings.Repeat("a", 60)}, {ID: "b", Domain: "y", Split: "test", Text: strings.Repeat("b", 60)},
		{ID: "c", Domain: "x", Split: "test", Text: strings.Repeat("c", 60)}, {ID: "d", Domain: "x", Split: "test", Text: strings.Repeat("d", 60)}})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := datasets.Tokenize(c, datasets.Filter{}, byteEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := Streams(tokens, "x", 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := streams[0]
	if len(s.IDs) != 100 || s.IDs[60] != 256 || s.IDs[61] != 'c' || len(s.Sources) != 2 {
		t.Fatal(s.Sources)
	}
	if s.Sources[1].ID != "c" || s.Sources[1].Start != 61 || s.Sources[1].End != 100 || s.Sources[1].Whole || !s.Sources[0].Whole {
		t.Error(s.Sources)
	}
	two, err := Streams(tokens, "x", 61, 3)
	if err != nil || two[2].IDs[0] != 'd' {
		t.Error(err)
	}
	if _, err := Streams(tokens, "x", 100, 2); err == nil || !strings.Contains(err.Error(), "183 tokens") {
		t.Error(err)
	}
	mixed := Shuffled(s, 4)
	a, b := slices.Sorted(slices.Values(s.IDs)), slices.Sorted(slices.Values(mixed.IDs))
	if !slices.Equal(a, b) || slices.Equal(s.IDs, mixed.IDs) || !slices.Equal(mixed.IDs, Shuffled(s, 4).IDs) {
		t.Error("not a repeatable shuffle")
	}
}
