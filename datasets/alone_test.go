package datasets

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A text file alone has all three splits, which share nothing and are the whole file together; unasked it is one document.
func TestTextFileAloneIsCutByPosition(t *testing.T) {
	for name, text := range map[string]string{
		"lines":      strings.Repeat("a line of the file\n", 2000),
		"one line":   strings.Repeat("word ", 5000),
		"no spaces":  strings.Repeat("損失", 3000),
		"very short": "été",
	} {
		c, err := Open(write(t, filepath.Join(t.TempDir(), "own.txt"), text))
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := c.Documents(nil); err != nil || len(whole) != 1 || whole[0].Text != text {
			t.Errorf("%s: %d documents, %v", name, len(whole), err)
		}
		var joined strings.Builder
		var sizes []int
		for _, split := range Splits {
			parts, err := c.forSplits(Filter{Splits: []string{split}}).Documents(func(d Document) bool { return d.Split == split })
			if err != nil || len(parts) != 1 || !utf8.ValidString(parts[0].Text) {
				t.Fatalf("%s, %s: %d documents, %v", name, split, len(parts), err)
			}
			joined.WriteString(parts[0].Text)
			sizes = append(sizes, 100*len(parts[0].Text)/len(text))
		}
		if joined.String() != text {
			t.Errorf("%s: the parts are not the whole", name)
		}
		if len(text) > 100 && (sizes[0] < 75 || sizes[1] < 9 || sizes[2] < 9) {
			t.Errorf("%s: %v %% of the file", name, sizes)
		}
	}
}

func TestTokensOfATextFileAlone(t *testing.T) {
	text := ""
	for i := range 2000 {
		text += fmt.Sprintf("line %4d of the file\n", i)
	}
	c, err := Open(write(t, filepath.Join(t.TempDir(), "own.txt"), text))
	if err != nil {
		t.Fatal(err)
	}
	var total int
	for _, split := range Splits {
		tokens, err := Tokenize(c, Filter{Splits: []string{split}}, byteEncoder{})
		if err != nil {
			t.Fatal(split, err)
		}
		total += len(tokens.Document(0)) - 1
		if want := fmt.Sprintf("own.txt (%s)", split); tokens.Documents() != 1 || tokens.Origins[0].ID != want {
			t.Errorf("%s: %d documents, %v", split, tokens.Documents(), tokens.Origins)
		}
	}
	if total != len(text) {
		t.Errorf("%d tokens", total)
	}
}
