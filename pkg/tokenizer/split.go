package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type runeClass int

const (
	space runeClass = iota
	letter
	number
	other
)

func classOf(r rune) runeClass {
	switch {
	case r < utf8.RuneSelf:
		return asciiClasses[r]
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

var asciiClasses = func() (classes [utf8.RuneSelf]runeClass) {
	for r := range rune(utf8.RuneSelf) {
		switch {
		case unicode.IsLetter(r):
			classes[r] = letter
		case unicode.IsNumber(r):
			classes[r] = number
		case !unicode.IsSpace(r):
			classes[r] = other
		}
	}
	return classes
}()

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// nextWord returns the length of the first word of a non-empty text by the pattern of GPT-2,
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func nextWord(text string) int {
	if text[0] == '\'' {
		for _, c := range contractions {
			if strings.HasPrefix(text, c) {
				return len(c)
			}
		}
	}
	start := 0
	if text[0] == ' ' && len(text) > 1 {
		start = 1
	}
	r, size := utf8.DecodeRuneInString(text[start:])
	class := classOf(r)
	if class != space {
		return start + size + runLength(text[start+size:], class)
	}
	return leaveOne(text, runLength(text, space))
}

// runLength returns the length in bytes of the run of one class that the text begins with.
func runLength(text string, class runeClass) int {
	for i, r := range text {
		if classOf(r) != class {
			return i
		}
	}
	return len(text)
}
