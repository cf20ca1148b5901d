package longtext

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// choice implements InfiniteBench's parsing of multiple-choice answers: a letter at the start, after a phrase such as “answer is”, or as the
// first one-letter word.
func choice(said string, i Item) float64 {
	right := func(letter string) float64 { return yes(slices.Contains(i.Answers, letter)) }
	if said == "" {
		return 0
	}
	if strings.ContainsRune("ABCD", rune(said[0])) {
		return right(said[:1])
	}
	said = strings.NewReplacer("\n", " ", `"`, " ", "'", " ", ".", " ", ",", " ", "?", " ", "!", " ", "{", " ", "}", " ").Replace(said)
	if said = squeeze(said); hasAny(said, phrases) {
		return afterPhrase(said, phrases, i.Answers)
	}
	for _, w := range fields(said) {
		if strings.Contains("ABCD", w) {
			return right(w)
		}
	}
	return 0
}

// phrases precede the letter of a multiple-choice answer.
var phrases = []string{"answer is:", "answer:", "answer is", "option is"}

// squeeze collapses runs of spaces into one.
func squeeze(said string) string {
	for strings.Contains(said, "  ") {
		said = strings.ReplaceAll(said, "  ", " ")
	}
	return said
}

func hasAny(said string, phrases []string) bool {
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(said, p) })
}

// afterPhrase reports (as 0 or 1) whether an answer occurs one character after the first phrase found in the text.
func afterPhrase(said string, phrases, answers []string) float64 {
	for _, p := range phrases {
		_, rest, found := strings.Cut(said, p)
		if !found {
			continue
		}
		if rest == "" {
			return 0
		}
		_, skipped := utf8.DecodeRuneInString(rest)
		return yes(slices.ContainsFunc(answers, func(a string) bool { return strings.HasPrefix(rest[skipped:], a) }))
	}
	return 0
}

// debug is InfiniteBench's reading of which function has an error: its letter at the beginning, or letter or name after a phrase.
func debug(said string, i Item) float64 {
	label := i.Answers[len(i.Answers)-1]
	if strings.HasPrefix(said, label+".") || strings.HasPrefix(said, label+":") {
		return 1
	}
	said = strings.TrimFunc(said, space)
	for _, c := range []string{"\n", "`", "'", `"`, "-", "*", "Option", "option"} {
		said = strings.ReplaceAll(said, c, " ")
	}
	return afterPhrase(squeeze(said), []string{"answer is:", "is:", "answer:"}, i.Answers)
}
