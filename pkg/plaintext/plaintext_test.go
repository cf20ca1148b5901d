package plaintext

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain é":                  "plain é",
		"\xef\xbb\xbfmarked":       "marked",
		"\xff\xfea\x00\xe9\x00":    "aé",
		"\xfe\xff\x00a\x00\xe9":    "aé",
		"\xff\xfe\x3d\xd8\x00\xde": "😀",
		"inner \xef\xbb\xbf stays": "inner \ufeff stays",
	} {
		if got, err := Decode([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"\xe9t\xe9", "\xff\xfea"} {
		if got, err := Decode([]byte(in)); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
	if _, err := Decode([]byte("\xe9")); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
}

func TestLines(t *testing.T) {
	if got, err := Lines([]byte("\xef\xbb\xbfa\r\nb\rc\nd\r\n")); err != nil || string(got) != "a\nb\nc\nd\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestReader(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "\xef\xbb\xbf{}": "{}", "{}": "{}"} {
		r, err := Reader(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := Reader(strings.NewReader("\xff\xfe{\x00")); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Error(err)
	}
}

func TestReadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latin.txt")
	if err := os.WriteFile(path, []byte("\xe9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "latin.txt") {
		t.Error(err)
	}
}

func ExampleLines() {
	b, err := Lines([]byte("\xef\xbb\xbffirst\r\nsecond\r\n"))
	fmt.Printf("%q %v\n", b, err)
	// Output: "first\nsecond\n" <nil>
}
