package task

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/datasets/draw"
)

// common is RULER's common words extraction (cwe, arXiv 2404.06654): a numbered list in which Common words come Often times
// each and all others Rarely; the common ones are asked for.
type common struct {
	Common  int    `json:"common" about:"common words; 0: ten where they fit"`
	Often   int    `json:"often" about:"times that a common word comes; 0: 30 where they fit"`
	Rarely  int    `json:"rarely" about:"times that another word comes; 0: a tenth of often"`
	Wording string `json:"wording" about:"full (with a worked example) or short (nor numbers); empty: full where it fits"`

	length int
	lexicon
}

func (c *common) open(length int, words lexicon) error {
	c.length, c.lexicon = length, words
	if err := within(bounds{"common", c.Common, 0, 64}, bounds{"often", c.Often, 0, 1 << 16}, bounds{"rarely", c.Rarely, 0, 1 << 16}); err != nil {
		return err
	}
	if err := oneOf("wording", c.Wording, "", "full", "short"); err != nil {
		return err
	}
	rare := c.Rarely
	var settings []func()
	for _, wording := range auto(c.Wording, "full", "short") {
		for _, n := range auto(c.Common, 10, 5, 3, 1) {
			for _, often := range auto(c.Often, 30, 20, 10, 4, 2) {
				settings = append(settings, func() {
					c.Wording, c.Common, c.Often = wording, n, often
					c.Rarely = auto(rare, max(often/10, 1))[0]
				})
			}
		}
	}
	if err := c.choose(length, "wording=short, fewer common words or less often", func(s *draw.Stream) passage { return c.passage(s, 1) }, settings...); err != nil {
		return err
	}
	if c.Rarely >= c.Often {
		return fmt.Errorf("param rarely is %d, want less than often = %d", c.Rarely, c.Often)
	}
	return nil
}

// list draws a list of the common words and the given number of others.
func (c *common) list(s *draw.Stream, used map[string]bool, others int) (words []string, text string) {
	word := func() string { return fresh(used, func() string { return syllables(s, 2) }) }
	var items []string
	for range c.Common {
		w := word()
		words = append(words, w)
		for range c.Often {
			items = append(items, w)
		}
	}
	for range others {
		w := word()
		for range c.Rarely {
			items = append(items, w)
		}
	}
	var b strings.Builder
	asked := len(words)
	words = words[:0]
	for i, at := range distinct(s, len(items), len(items)) {
		if at < asked*c.Often && !slices.Contains(words, items[at]) {
			words = append(words, items[at]) // in the order in which they appear
		}
		if c.Wording == "short" {
			b.WriteString(" " + items[at])
		} else {
			fmt.Fprintf(&b, " %d. %s", i+1, items[at])
		}
	}
	return words, b.String()
}

// passage contains the whole list as a single needle.
func (c *common) passage(s *draw.Stream, others int) passage {
	used := map[string]bool{}
	p := passage{group: fmt.Sprintf("common %d of %d", c.Common, c.Common+others), question: "\nCommon words:"}
	if c.Wording != "short" {
		example := *c
		example.Often, example.Rarely, example.Common = 3, 1, min(c.Common, 3)
		words, list := example.list(s, used, 3)
		p.prefix = "Find the words that come most often.\n" + list[1:] + p.question + " " + strings.Join(words, ", ") + "\n\n"
	}
	words, list := c.list(s, used, others)
	p.needles = []needle{{text: list}}
	p.parts, p.answer = words, " "+strings.Join(words, ", ")
	return p
}

// others is the largest number of other words that fit, searched for each sequence since words differ in length.
func (c *common) others(key uint64) (int, error) {
	low, high := 1, 2
	fits := func(n int) (bool, error) {
		size, err := c.size(c.passage(draw.New(key), n))
		return size <= c.length, err
	}
	for {
		ok, err := fits(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		middle := (low + high) / 2
		ok, err := fits(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (c *common) fill(s *draw.Stream, r *Record) error {
	return c.laySearched(s, c.length, r, c.others, c.passage)
}

// laySearched is lay for passages whose size is searched for with the draws of a key.
func (l lexicon) laySearched(s *draw.Stream, length int, r *Record, search func(key uint64) (int, error), passages func(s *draw.Stream, n int) passage) error {
	least := 0
	for range attempts {
		key := s.Uint64()
		n, err := search(key)
		if err != nil {
			return err
		}
		p := passages(draw.New(key), n)
		size, err := l.size(p)
		if err != nil {
			return err
		}
		if size <= length {
			return l.write(p, length-size, r)
		}
		if least == 0 || size < least {
			least = size
		}
	}
	return &TooShortError{Length: length, Minimum: least}
}

func (c *common) guess(s *draw.Stream, _ *Record) answer {
	return guessed(s, func(s *draw.Stream) passage { return c.passage(s, 1) })
}
func (c *common) chance() float64 { return 0 }
func (c *common) vocab() int      { return 0 }

// syllables makes a word with n syllables.
func syllables(s *draw.Stream, n int) string {
	const consonants, vowels = "bdfgklmnprstv", "aeiou"
	var b strings.Builder
	for range n {
		b.WriteByte(consonants[s.Below(len(consonants))])
		b.WriteByte(vowels[s.Below(len(vowels))])
	}
	b.WriteByte(consonants[s.Below(len(consonants))])
	return b.String()
}

// frequent is RULER's frequent words extraction (fwe): a text of made-up words whose counts fall as rank^(−α); the first is
// written as dots, the next Asked are asked for. Of words that are asked for none is as frequent as another.
type frequent struct {
	Asked   int     `json:"asked" about:"words that are asked for; 0: three where they fit"`
	Letters int     `json:"letters" about:"letters of a word; 0: six where they fit"`
	Alpha   float64 `json:"alpha" about:"α of the counts"`
	Wording string  `json:"wording" about:"full or short; empty: full where it fits"`

	length int
	lexicon
}

func (f *frequent) open(length int, words lexicon) error {
	f.length, f.lexicon = length, words
	if err := within(bounds{"asked", f.Asked, 0, 16}, bounds{"letters", f.Letters, 0, 32}); err != nil {
		return err
	}
	if !(f.Alpha > 1 && f.Alpha < 10) {
		return fmt.Errorf("param alpha is %g, want above 1 and below 10", f.Alpha)
	}
	if err := oneOf("wording", f.Wording, "", "full", "short"); err != nil {
		return err
	}
	var settings []func()
	for _, asked := range auto(f.Asked, 3, 2, 1) {
		for _, letters := range auto(f.Letters, 6, 3) {
			for _, wording := range auto(f.Wording, "full", "short") {
				settings = append(settings, func() { f.Asked, f.Letters, f.Wording = asked, letters, wording })
			}
		}
	}
	return f.choose(length, "wording=short, fewer asked or fewer letters", func(s *draw.Stream) passage { return f.passage(s, f.fewest()) }, settings...)
}

// counts of the ranks of a text of so many words: rank^(−α), strictly falling over those asked for and the next one.
func (f *frequent) counts(words int) []int {
	zeta := 0.0
	for k := 1; k <= 10000; k++ {
		zeta += math.Pow(float64(k), -f.Alpha)
	}
	var counts []int
	vocabulary := max(f.length/50, f.Asked+2)
	for k := 1; k <= vocabulary && words > 0; k++ {
		n := int(float64(words) * math.Pow(float64(k), -f.Alpha) / zeta)
		if n < 1 {
			break
		}
		counts = append(counts, n)
	}
	for len(counts) < f.Asked+2 {
		counts = append(counts, 1)
	}
	for k := f.Asked; k >= 1; k-- { // ranks 2 … asked+1 are indices 1 … asked
		counts[k] = max(counts[k], counts[k+1]+1)
	}
	return counts
}

func (f *frequent) fewest() int { return 1 }

func (f *frequent) passage(s *draw.Stream, words int) passage {
	used := map[string]bool{}
	var items, names []string
	for rank, n := range f.counts(words) {
		name := "..."
		if rank > 0 {
			name = fresh(used, func() string {
				b := make([]byte, f.Letters)
				for i := range b {
					b[i] = byte('a' + s.Below(26))
				}
				return string(b)
			})
			names = append(names, name)
		}
		for range n {
			items = append(items, " "+name)
		}
	}
	var b strings.Builder
	for _, at := range distinct(s, len(items), len(items)) {
		b.WriteString(items[at])
	}
	p := passage{prefix: "Dots stand for noise. Find the words that come most often.\n", needles: []needle{{text: b.String()}},
		question: fmt.Sprintf("\nThe %d most frequent words are:", f.Asked), parts: names[:f.Asked], group: fmt.Sprint("asked ", f.Asked)}
	if f.Wording == "short" {
		p.prefix, p.question = "", "\nTop:"
	}
	p.answer = " " + strings.Join(p.parts, ", ")
	return p
}

// most is the number of words that fill the length.
func (f *frequent) most(key uint64) (int, error) {
	low, high := f.fewest(), f.length+2
	for high-low > 1 {
		middle := (low + high) / 2
		size, err := f.size(f.passage(draw.New(key), middle))
		if err != nil {
			return 0, err
		}
		if size <= f.length {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (f *frequent) fill(s *draw.Stream, r *Record) error {
	return f.laySearched(s, f.length, r, f.most, f.passage)
}
func (f *frequent) guess(s *draw.Stream, _ *Record) answer {
	return guessed(s, func(s *draw.Stream) passage { return f.passage(s, f.fewest()) })
}
func (f *frequent) chance() float64 { return 0 }
func (f *frequent) vocab() int      { return 0 }
