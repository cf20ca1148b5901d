package task

import (
	"fmt"

	"stuffed/datasets/draw"
)

// phoneBook is the look-up of Repeat After Me (arXiv 2402.01032, section 3.2): lines of a name and a number of ten digits
// that begins with 6 … 9, worked examples of two of them, and the name of a third. Names are made of syllables.
type phoneBook struct {
	Lines    int `json:"lines" about:"lines of the book; 0: as many as fit"`
	Examples int `json:"examples" about:"worked examples; −1: two where they fit"`

	length int
	lexicon
}

func (b *phoneBook) open(length int, words lexicon) error {
	b.length, b.lexicon = length, words
	if err := within(bounds{"lines", b.Lines, 0, 1 << 20}, bounds{"examples", b.Examples, -1, 64}); err != nil {
		return err
	}
	examples := []int{b.Examples}
	if b.Examples < 0 {
		examples = []int{2, 1, 0}
	}
	if b.Lines > 0 && b.Lines < b.Examples+1 {
		return fmt.Errorf("param lines is %d, want above examples = %d", b.Lines, b.Examples)
	}
	var settings []func()
	for _, n := range examples {
		settings = append(settings, func() { b.Examples = n })
	}
	return b.choose(length, "fewer examples or lines", b.passage, settings...)
}

func (b *phoneBook) passage(s *draw.Stream) passage {
	used := map[string]bool{}
	entry := func() (name, number string) {
		name = fresh(used, func() string { return capital(syllables(s, 1)) + " " + capital(syllables(s, 1+s.Below(2))) })
		return name, fresh(used, func() string { return fmt.Sprintf("%d%09d", 6+s.Below(4), s.Below(1_000_000_000)) })
	}
	line := func() string {
		name, number := entry()
		return name + ": " + number + "\n"
	}
	name, number := entry()
	depth := s.Unit()
	p := passage{needles: []needle{{text: name + ": " + number + "\n", depth: depth}}, question: "\n", answer: " " + number, parts: []string{number}}
	for range b.Examples {
		example := line()
		p.needles = append(p.needles, needle{text: example, depth: s.Unit()})
		p.question += example
	}
	p.question += name + ":"
	if b.Lines == 0 {
		p.filler = line
		p.group = fmt.Sprint("length ", b.length)
	} else {
		for range b.Lines - 1 - b.Examples {
			p.needles = append(p.needles, needle{text: line(), depth: s.Unit()})
		}
		order := distinct(s, len(p.needles), len(p.needles))
		shuffled := make([]needle, len(order))
		for i, at := range order {
			shuffled[i] = needle{text: p.needles[at].text}
		}
		p.needles, p.prefix = shuffled, ""
		p.group = fmt.Sprint("lines ", b.Lines)
	}
	p.meta = map[string]float64{"depth": depth}
	return p
}

func (b *phoneBook) fill(s *draw.Stream, r *Record) error { return b.lay(s, b.length, r, b.passage) }
func (b *phoneBook) guess(s *draw.Stream, _ *Record) answer {
	return guessed(s, b.passage)
}
func (b *phoneBook) chance() float64 { return 1 / 4e9 }
func (b *phoneBook) vocab() int      { return 0 }
