package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// pattern gives the length of the first word of a non-empty text.
type pattern func(text string) int

// Contractions of English in any case; in Unicode ſ is a case of s.
const contracted = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`

// patterns are the regular expressions of published tokenizers that are known here. Go's regexp lacks the look-ahead, and a scanner is
// faster; the tests compare each with its expression.
var patterns = map[string]pattern{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: nextWord,
	// Llama-3 and cl100k; Qwen takes digits one by one.
	contracted + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: words{digits: 3, letters: plainLetters, contractions: true}.next,
	contracted + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      words{digits: 1, letters: plainLetters, contractions: true}.next,
	// Tekken; o200k, which Llama-4 shares, keeps contractions with their word.
	cased + `|` + capitals + `|\p{N}` + rest: words{digits: 1, letters: casedLetters, slash: true}.next,
	cased + contracted + `?|` + capitals + contracted + `?|\p{N}{1,3}` + rest: words{digits: 3, letters: func(text string) int {
		n := casedLetters(text)
		if n > 0 {
			n += contraction(text[n:])
		}
		return n
	}, slash: true}.next,
}

const (
	cased    = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	capitals = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	rest     = `| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// words is the family of patterns after GPT-2's: letters with at most one character of another kind before them, short runs of digits,
// other characters with the line ends behind them, line ends with the white space before them.
type words struct {
	digits       int                   // most digits of a word
	letters      func(text string) int // length of a word of letters, 0 where none begins
	contractions bool                  // as words of their own
	slash        bool                  // a slash may follow other characters as a line end may
}

func (w words) next(text string) int {
	if w.contractions {
		if n := contraction(text); n > 0 {
			return n
		}
	}
	if n := w.letters(text); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(text)
	if classOf(r) == number {
		for n := 1; n < w.digits && size < len(text); n++ {
			r, more := utf8.DecodeRuneInString(text[size:])
			if classOf(r) != number {
				break
			}
			size += more
		}
		return size
	}
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	if n := runLength(text[start:], other); n > 0 {
		end := start + n
		for end < len(text) && (text[end] == '\r' || text[end] == '\n' || w.slash && text[end] == '/') {
			end++
		}
		return end
	}
	return nextSpace(text)
}

// nextSpace takes white space up to its last line end, else all of it but the last character, which is left to the word that follows.
func nextSpace(text string) int {
	end := runLength(text, space)
	for i := end - 1; i >= 0; i-- {
		if text[i] == '\r' || text[i] == '\n' {
			return i + 1
		}
	}
	return leaveOne(text, end)
}

// leaveOne is the length of white space of end bytes without its last character, unless the text ends there or it is the only one.
func leaveOne(text string, end int) int {
	if end == len(text) {
		return end
	}
	if _, last := utf8.DecodeLastRuneInString(text[:end]); last < end {
		return end - last
	}
	return end
}

func contraction(text string) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	first, size := utf8.DecodeRuneInString(text[1:])
	second, more := utf8.DecodeRuneInString(text[1+size:])
	switch lower(first) {
	case 's', 't', 'm', 'd':
		return 1 + size
	case 'r', 'v':
		if lower(second) == 'e' {
			return 1 + size + more
		}
	case 'l':
		if lower(second) == 'l' {
			return 1 + size + more
		}
	}
	return 0
}

func lower(r rune) rune {
	if r == 'ſ' {
		return 's'
	}
	return unicode.ToLower(r)
}

// lead is the length of the one character that may stand before the letters of a word: neither letter, digit nor line end.
func lead(text string) int {
	r, size := utf8.DecodeRuneInString(text)
	if c := classOf(r); r == '\r' || r == '\n' || c == letter || c == number {
		return 0
	}
	return size
}

func plainLetters(text string) int {
	if n := lead(text); n > 0 {
		if m := runLength(text[n:], letter); m > 0 {
			return n + m
		}
	}
	return runLength(text, letter)
}

// casedLetters is a word of capitals, small letters or both in this order; letters without case and marks count as both.
func casedLetters(text string) int {
	starts := []int{0}
	if n := lead(text); n > 0 && n < len(text) {
		starts = []int{n, 0}
	}
	for _, s := range starts {
		if n := mixed(text[s:]); n > 0 {
			return s + n
		}
	}
	for _, s := range starts {
		if n := caseRun(text[s:], isUpper); n > 0 {
			return s + n + caseRun(text[s+n:], isLower)
		}
	}
	return 0
}

// mixed is capitals, as many as there are, and at least one small letter; capitals that count as small give way.
func mixed(text string) int {
	end := caseRun(text, isUpper)
	if n := caseRun(text[end:], isLower); n > 0 {
		return end + n
	}
	for end > 0 {
		r, size := utf8.DecodeLastRuneInString(text[:end])
		if isLower(r) {
			return end
		}
		end -= size
	}
	return 0
}

func caseRun(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) {
			return i
		}
	}
	return len(text)
}

func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'A' && r <= 'Z'
	}
	return unicode.In(r, unicode.Lu, unicode.Lt, unicode.Lm, unicode.Lo, unicode.M)
}

func isLower(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z'
	}
	return unicode.In(r, unicode.Ll, unicode.Lm, unicode.Lo, unicode.M)
}
