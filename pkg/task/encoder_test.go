package task

import (
	"strings"
	"unicode"
)

// wordEncoder cuts as GPT-NeoX's pre-tokenizer does (a word takes the space before it, white space leaves its last character to what
// follows) and splits numbers after three digits, or two for keys that begin with an odd digit.
type wordEncoder struct {
	ids   map[string]int
	words []string
}

func newWordEncoder() *wordEncoder { return &wordEncoder{ids: map[string]int{}} }

func (w *wordEncoder) Encode(text string) (ids []int, err error) {
	for text != "" {
		n := w.next(text)
		token := text[:n]
		id, ok := w.ids[token]
		if !ok {
			id = len(w.words)
			w.ids[token] = id
			w.words = append(w.words, token)
		}
		ids = append(ids, id)
		text = text[n:]
	}
	return ids, nil
}

func (w *wordEncoder) next(text string) int {
	i := 0
	if text[0] == ' ' && len(text) > 1 && !unicode.IsSpace(rune(text[1])) {
		i = 1
	}
	class := func(c byte) int {
		switch {
		case unicode.IsSpace(rune(c)):
			return 0
		case unicode.IsLetter(rune(c)):
			return 1
		case unicode.IsDigit(rune(c)):
			return 2
		}
		return 3
	}
	k, start := class(text[i]), i
	for i < len(text) && class(text[i]) == k {
		i++
	}
	if k == 0 && i > 1 && i < len(text) {
		return i - 1
	}
	if k == 2 {
		return min(i, start+3-int(text[start])%2)
	}
	return i
}

func (w *wordEncoder) Decode(ids []int) (string, error) {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(w.words[id])
	}
	return b.String(), nil
}

func (*wordEncoder) Vocab() int   { return 65536 }
func (*wordEncoder) EOS() int     { return 65535 }
func (*wordEncoder) Name() string { return "words" }
