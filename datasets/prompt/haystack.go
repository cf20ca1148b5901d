package prompt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// words cuts a text of one's own into what is never divided: at most so many characters, with the white space before them.
var words = regexp.MustCompile(`\s*\S{1,24}`)

// errNoText is that of a haystack with nothing in it.
var errNoText = errors.New("haystack: the text is empty")

// own names the wording of prompts whose haystack is a text of one's own.
func own(version, text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s in %x", version, sum[:4])
}

// Within hides the needle in a text of one's own instead of the noise: its beginning stands before the needle, what follows behind it,
// from the beginning again where the text is shorter than the prompt. No word is divided: line breaks fill the few tokens that are left.
// Keys stay those of the variant.
func (p *Passkey) Within(text string) error {
	if strings.TrimSpace(text) == "" {
		return errNoText
	}
	p.haystack, p.form.lines = words.FindAllString(text, -1), false
	p.named = own(p.form.version, text)
	return nil
}

// version is the form's, with the haystack where it is not the form's own.
func (p *Passkey) version() string {
	if p.named == "" {
		return p.form.version
	}
	return p.named
}

// fill appends n tokens of the haystack; next is the word of one's own text that comes next.
func (p *Passkey) fill(build *pieces, next *int, n int) {
	if p.haystack == nil {
		build.cut(noise, min(n, len(build.tokens(noise))))
		build.cut(" "+noise, n-len(build.tokens(noise)))
		return
	}
	for build.err == nil {
		word := p.haystack[*next%len(p.haystack)]
		size := len(build.tokens(word))
		if size > n {
			break
		}
		build.put(word)
		n -= size
		*next++
	}
	build.cut("\n", n)
}

// sentencesOf are the sentences of a text of one's own, without its line breaks.
func sentencesOf(text string) (all []string) {
	fields := strings.Fields(text)
	from := 0
	for i, w := range fields {
		if strings.ContainsAny(w[len(w)-1:], ".!?") || i == len(fields)-1 {
			all = append(all, strings.Join(fields[from:i+1], " "))
			from = i + 1
		}
	}
	return all
}

// passage takes sentences of one's own text in their order, from a drawn one on, then the words of the next that still fit; line breaks
// fill the rest.
func (r Retrieval) passage(build *pieces, first, free int) (whole []string, rest tail) {
	all := sentencesOf(r.Text)
	fits := func(piece string) bool {
		n := len(build.tokens(piece))
		if n == 0 || n > free {
			return false
		}
		whole = append(whole, piece)
		free -= n
		return true
	}
	next := first % len(all)
	for fits(" " + all[next]) {
		next = (next + 1) % len(all)
	}
	for _, word := range words.FindAllString(" "+all[next], -1) {
		if !fits(word) {
			break
		}
	}
	return whole, tail{"\n", free}
}
