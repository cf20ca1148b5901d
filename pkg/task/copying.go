package task

import (
	"fmt"

	"stuffed/datasets/draw"
)

var copies = []Kind{
	{"copy", "copy-1", "a string and its copy", false, func() maker { return &copying{Letters: 26, Form: "copy"} }},
	{"copy-prefix", "copy-prefix-1", "a few letters, the string that they stand in, and what follows them there", false,
		func() maker { return &copying{Letters: 26, Form: "prefix"} }},
	{"copy-suffix", "copy-suffix-1", "a string, a few letters of it, and what follows them there", false,
		func() maker { return &copying{Letters: 26, Form: "suffix"} }},
	{"copy-duplicate", "copy-duplicate-1", "a string in which a run of letters comes twice, and its copy", false,
		func() maker { return &copying{Letters: 26, Form: "duplicate"} }},
	{"phone-book", "phone-book-1", "lines of name and number, and the number of one of the names", true,
		func() maker { return &phoneBook{Lines: 0, Examples: -1} }},
	{"selective-copying", "selective-copying-1", "tokens scattered in noise, to be said in order at the end", false,
		func() maker { return &selective{Letters: 16, Data: 16} }},
	{"induction", "induction-1", "what followed a special token that came once before", false,
		func() maker { return &induction{Vocab: 16} }},
}

// copying is the suite of Repeat After Me (arXiv 2402.01032): with $ | . * as marks and * as the filling in front that
// makes the length exact,
//
//	copy       $ s | s .
//	prefix     $ g | s | a .   g: n letters that stand in s once, a: the Answer letters after them
//	suffix     $ s | g | a .
//	duplicate  $ s | s .       n letters of s come again elsewhere in s, followed by other letters
//
// Letters and marks are ids 0 … Letters+3.
type copying struct {
	Letters int    `json:"letters" about:"letters that there are"`
	Form    string `json:"form" about:"copy, prefix, suffix or duplicate"`
	String  int    `json:"string" about:"letters of the string; 0: all that fit"`
	Gram    int    `json:"gram" about:"prefix, suffix, duplicate: letters of the run; 0: enough to be met once by chance"`
	Answer  int    `json:"answer" about:"prefix, suffix: letters to be said; 0: a quarter of the string, 8 at most"`

	length int
}

const (
	begin = iota // marks, counted from Letters on
	bar
	stop
	padding
	marks
)

func (c *copying) open(length int, _ lexicon) error {
	c.length = length
	if err := oneOf("form", c.Form, "copy", "prefix", "suffix", "duplicate"); err != nil {
		return err
	}
	if err := within(bounds{"letters", c.Letters, 2, 1 << 20}, bounds{"string", c.String, 0, 1 << 28}, bounds{"gram", c.Gram, 0, 1 << 20}, bounds{"answer", c.Answer, 0, 1 << 20}); err != nil {
		return err
	}
	whole := c.Form == "copy" || c.Form == "duplicate"
	if c.Gram == 0 && c.Form != "copy" {
		for c.Gram = 2; pow(c.Letters, c.Gram) < 4*length*length && c.Gram < length; c.Gram++ { // pairs of places below 1 in 8
		}
	}
	auto := c.String == 0
	switch {
	case whole && auto:
		c.String = (length - 3) / 2
	case auto && c.Answer > 0:
		c.String = length - 4 - c.Gram - c.Answer
	case auto:
		c.String = length - 4 - c.Gram - min(8, max((length-4-c.Gram)/5, 1))
	}
	if !whole && c.Answer == 0 {
		c.Answer = min(8, max(c.String/4, 1))
	}
	smallest := c.Gram + c.Answer
	if c.Form == "duplicate" {
		smallest = 2 * (c.Gram + 1)
	}
	if auto && c.String < smallest {
		c.String = max(smallest, 1)
	}
	if err := within(bounds{"string", c.String, max(smallest, 1), 1 << 28}); err != nil {
		return err
	}
	if need := c.size(); need > length {
		return &TooShortError{Length: length, Minimum: need, Set: "a smaller string, gram or answer"}
	}
	return nil
}

func (c *copying) size() int {
	if c.Form == "copy" || c.Form == "duplicate" {
		return 2*c.String + 3
	}
	return c.String + c.Gram + c.Answer + 4
}

// pow is bⁿ, saturated below 2⁴⁰.
func pow(b, n int) int {
	v := 1
	for range n {
		if v *= b; v > 1<<40 {
			return 1 << 40
		}
	}
	return v
}

func (c *copying) fill(s *draw.Stream, r *Record) error {
	ids := make([]int32, 0, c.length)
	mark := func(m int) { ids = append(ids, int32(c.Letters+m)) }
	for range c.length - c.size() {
		mark(padding)
	}
	text, at, err := c.text(s)
	if err != nil {
		return err
	}
	gram := text[at : at+c.Gram]
	mark(begin)
	said := text
	switch c.Form {
	case "prefix":
		ids = append(ids, gram...)
		mark(bar)
		ids = append(ids, text...)
		said = text[at+c.Gram:][:c.Answer]
	case "suffix":
		ids = append(ids, text...)
		mark(bar)
		ids = append(ids, gram...)
		said = text[at+c.Gram:][:c.Answer]
	default:
		ids = append(ids, text...)
	}
	mark(bar)
	for i, id := range said {
		r.Positions, r.Answers = append(r.Positions, len(ids)-1+i), append(r.Answers, id)
	}
	ids = append(ids, said...)
	mark(stop)
	r.IDs = ids
	r.Group = fmt.Sprint("string ", c.String)
	return nil
}

// text draws the string and the position of its run of letters.
func (c *copying) text(s *draw.Stream) (text []int32, at int, err error) {
	text = make([]int32, c.String)
	for range 64 {
		for i := range text {
			text[i] = int32(s.Below(c.Letters))
		}
		if c.Form == "copy" {
			return text, 0, nil
		}
		if c.Form == "duplicate" {
			one := s.Below(c.String - 2*c.Gram - 1)
			two := one + c.Gram + 1 + s.Below(c.String-2*c.Gram-1-one)
			copy(text[two:], text[one:one+c.Gram])
			if two+c.Gram < c.String && text[two+c.Gram] == text[one+c.Gram] {
				text[two+c.Gram] = (text[two+c.Gram] + 1) % int32(c.Letters)
			}
			return text, one, nil
		}
		at = s.Below(c.String - c.Gram - c.Answer + 1)
		if count(text, text[at:at+c.Gram]) == 1 {
			return text, at, nil
		}
	}
	return nil, 0, fmt.Errorf("64 strings of %d letters all repeat a run of %d letters; choose a larger gram or a shorter string", c.String, c.Gram)
}

// count is the number of occurrences of a run in a text, overlaps included.
func count(text, run []int32) (n int) {
	for i := 0; i+len(run) <= len(text); i++ {
		same := true
		for k := range run {
			if text[i+k] != run[k] {
				same = false
				break
			}
		}
		if same {
			n++
		}
	}
	return n
}

func (c *copying) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, 0, c.Letters) }
func (c *copying) chance() float64                        { return 1 / float64(c.Letters) }
func (c *copying) vocab() int                             { return c.Letters + marks }

// selective is selective copying (arXiv 2312.00752, section 4.1): Data tokens at random positions among noise of id 0, followed by as many
// marks, at each of which the next data token has to be given.
type selective struct {
	Letters int `json:"letters" about:"tokens that there are; ids 1 … letters, noise is 0 and the mark letters+1"`
	Data    int `json:"data" about:"tokens to be said"`

	length int
}

func (c *selective) open(length int, _ lexicon) error {
	c.length = length
	if err := within(bounds{"letters", c.Letters, 2, 1 << 20}, bounds{"data", c.Data, 1, 1 << 28}); err != nil {
		return err
	}
	if 2*c.Data > length {
		return &TooShortError{Length: length, Minimum: 2 * c.Data, Set: "less data"}
	}
	return nil
}

func (c *selective) fill(s *draw.Stream, r *Record) error {
	r.IDs = make([]int32, c.length)
	for _, at := range distinct(s, c.length-c.Data, c.Data) {
		r.IDs[at] = int32(1 + s.Below(c.Letters))
	}
	for _, id := range r.IDs[:c.length-c.Data] {
		if id > 0 {
			r.Positions, r.Answers = append(r.Positions, c.length-c.Data+len(r.Answers)), append(r.Answers, id)
		}
	}
	for i := c.length - c.Data; i < c.length; i++ {
		r.IDs[i] = int32(c.Letters + 1)
	}
	r.Group = fmt.Sprint("data ", c.Data)
	return nil
}

func (c *selective) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, 1, c.Letters) }
func (c *selective) chance() float64                        { return 1 / float64(c.Letters) }
func (c *selective) vocab() int                             { return c.Letters + 2 }

// induction is the induction heads task (arXiv 2312.00752, section 4.1): random tokens with one special token among them, whose successor
// has to be given when the special token appears again as the last but one.
type induction struct {
	Vocab int `json:"vocab" about:"ids; the last is the special one"`

	length int
}

func (c *induction) open(length int, _ lexicon) error {
	c.length = length
	if length < 4 {
		return &TooShortError{Length: length, Minimum: 4}
	}
	return within(bounds{"vocab", c.Vocab, 3, 1 << 20})
}

func (c *induction) fill(s *draw.Stream, r *Record) error {
	special := c.Vocab - 1
	r.IDs = make([]int32, c.length)
	for i := range r.IDs {
		r.IDs[i] = int32(s.Below(special))
	}
	at := s.Below(c.length - 3)
	r.IDs[at], r.IDs[c.length-2] = int32(special), int32(special)
	r.IDs[c.length-1] = r.IDs[at+1]
	r.Positions, r.Answers = []int{c.length - 2}, []int32{r.IDs[at+1]}
	r.Group = fmt.Sprint("length ", c.length)
	r.Meta = map[string]float64{"distance": float64(c.length - 2 - at)}
	return nil
}

func (c *induction) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, 0, c.Vocab-1) }
func (c *induction) chance() float64                        { return 1 / float64(c.Vocab-1) }
func (c *induction) vocab() int                             { return c.Vocab }
