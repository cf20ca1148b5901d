package prompt

import (
	"regexp"
	"strings"

	"stuffed/datasets/draw"
)

var (
	passkeyFact   = regexp.MustCompile(`The pass ?key is (\d+)\. Remember it\.`)
	retrievalFact = regexp.MustCompile(`The number kept for the ([a-z]+ [a-z]+) is (\d+)\.`)
	retrievalAsks = regexp.MustCompile(`Which numbers are kept for the (.+)\?`)
)

// Oracle reads the answer out of a record's text, knowing how prompts are worded and nothing else: what a perfect memory would say.
// It is empty when the text holds no answer.
func Oracle(r Record) string {
	if asks := retrievalAsks.FindStringSubmatch(r.Text); asks != nil {
		asked := map[string]bool{}
		for _, name := range strings.Split(asks[1], " and the ") {
			asked[name] = true
		}
		var values []string
		for _, fact := range retrievalFact.FindAllStringSubmatch(r.Text, -1) {
			if asked[fact[1]] {
				values = append(values, fact[2])
			}
		}
		return strings.Join(values, ", ")
	}
	if fact := passkeyFact.FindStringSubmatch(r.Text); fact != nil {
		return fact[1]
	}
	return ""
}

// Guess is the answer of a reader that saw nothing: random digits in the places of the answer's digits.
func Guess(r Record, seed int64) string {
	s := draw.New(draw.Key(seed, "guess", r.Seed, r.Index, int64(r.Length)))
	return strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' {
			return rune('0' + s.Below(10))
		}
		return c
	}, r.Answer)
}
