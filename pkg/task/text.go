package task

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// passage is a text with something hidden in it and a question about it.
type passage struct {
	prefix   string
	needles  []needle
	filler   func() string // next piece of the haystack; nil: no haystack except the padding
	rest     string        // fills the remainder where no whole piece fits; empty: the next piece, cut
	question string
	answer   string   // including the space before it
	parts    []string // of the answer
	group    string
	meta     map[string]float64
}

// needle is a piece placed in the haystack at a depth between 0, its start, and 1, its end.
type needle struct {
	text  string
	depth float64
	main  bool // the needle that a Place positions
}

// noise is the padding that makes the length exact in tasks without a haystack.
const noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

// lexicon encodes the pieces that passages consist of and caches the recurring ones.
type lexicon struct {
	enc  datasets.Encoder
	kept *sync.Map // text → []int32

	question bool     // lengths count only the tokens before the answer
	own      []string // pieces of a haystack of your own, or nil
}

func (l lexicon) tokens(text string) ([]int32, error) {
	if text == "" {
		return nil, nil
	}
	if ids, ok := l.kept.Load(text); ok {
		return ids.([]int32), nil
	}
	ids, err := datasets.Part(l.enc, text)
	if err != nil {
		return nil, fmt.Errorf("tokenizer %s: %w", l.enc.Name(), err)
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out, nil
}

// keep returns the tokens of a text and caches them.
func (l lexicon) keep(text string) ([]int32, error) {
	ids, err := l.tokens(text)
	if err == nil {
		l.kept.Store(text, ids)
	}
	return ids, err
}

// page is a text under construction.
type page struct {
	lexicon
	ids  []int32
	text strings.Builder
	err  error
}

func (p *page) put(text string) {
	ids, err := p.tokens(text)
	if p.err == nil {
		p.err = err
	}
	p.ids = append(p.ids, ids...)
	p.text.WriteString(text)
}

// cut appends the first n tokens of a text, repeating it if it has fewer.
func (p *page) cut(text string, n int) {
	ids, err := p.tokens(text)
	if p.err == nil {
		p.err = err
	}
	for n > 0 && len(ids) > 0 && p.err == nil {
		head := ids[:min(n, len(ids))]
		if len(head) == len(ids) {
			p.text.WriteString(text)
		} else {
			var decoded string
			decoded, p.err = Decode(p.enc, head)
			p.text.WriteString(decoded)
		}
		p.ids = append(p.ids, head...)
		n -= len(head)
	}
}

// Decode returns the text of ids; ids beyond the tokenizer's vocabulary, such as padding rows, are skipped.
func Decode(enc datasets.Encoder, ids []int32) (string, error) {
	known := make([]int, 0, len(ids))
	for _, id := range ids {
		if int(id) < enc.Vocab() {
			known = append(known, int(id))
		}
	}
	return enc.Decode(known)
}

// size is the number of tokens of a passage without its haystack.
func (l lexicon) size(p passage) (n int, err error) {
	pieces := []string{p.prefix, p.question}
	if !l.question {
		pieces = append(pieces, p.answer)
	}
	for _, piece := range p.needles {
		pieces = append(pieces, piece.text)
	}
	for _, text := range pieces {
		ids, err := l.tokens(text)
		if err != nil {
			return 0, err
		}
		n += len(ids)
	}
	return n, nil
}

// attempts is the number of passages drawn before giving up on finding one that fits.
const attempts = 64

// lay draws passages until one fits and writes it into a record.
func (l lexicon) lay(s *draw.Stream, length int, r *Record, draw func(s *draw.Stream) passage) error {
	least := 0
	for range attempts {
		p := draw(s)
		n, err := l.size(p)
		if err != nil {
			return err
		}
		if n <= length {
			return l.write(p, length-n, r)
		}
		if least == 0 || n < least {
			least = n
		}
	}
	return &TooShortError{Length: length, Minimum: least}
}

// write builds a record from a passage and free tokens of its haystack: whole pieces, the last one cut.
func (l lexicon) write(p passage, free int, r *Record) error {
	page := page{lexicon: l}
	var hay []string
	rest := noise + " "
	if l.own != nil && p.filler != nil {
		p.filler = inOrder(l.own)
	}
	if p.filler != nil {
		for len(hay) < 1<<24 {
			piece := p.filler()
			ids, err := l.tokens(piece)
			if err != nil {
				return err
			}
			if rest = piece; len(ids) > free || len(ids) == 0 {
				break
			}
			free -= len(ids)
			hay = append(hay, piece)
		}
	}
	switch {
	case l.own != nil: // words of a haystack of your own are not divided
		rest = "\n"
	case l.question && p.rest != "":
		rest = p.rest
	}
	page.put(p.prefix)
	if p.filler == nil {
		page.cut(rest, free)
		free = 0
	}
	at := make([][]needle, len(hay)+1)
	for _, n := range p.needles {
		place := min(int(n.depth*float64(len(hay)+1)), len(hay))
		at[place] = append(at[place], n)
	}
	for i, needles := range at {
		for _, n := range needles {
			r.Needles = append(r.Needles, Needle{Text: n.text, Start: len(page.ids), Main: n.main})
			page.put(n.text)
			r.Needles[len(r.Needles)-1].End = len(page.ids)
		}
		if i < len(hay) {
			page.put(hay[i])
		}
	}
	page.cut(rest, free)
	page.put(p.question)
	before := len(page.ids)
	page.put(p.answer)
	if page.err != nil {
		return page.err
	}
	for i := before; i < len(page.ids); i++ {
		r.Positions, r.Answers = append(r.Positions, i-1), append(r.Answers, page.ids[i])
	}
	r.IDs, r.Text, r.Answer, r.Parts = page.ids, page.text.String(), p.answer, p.parts
	r.Group, r.Meta = p.group, p.meta
	return nil
}

// choose tries settings in order and stops at the first for which at least three in four drawn passages fit.
func (l lexicon) choose(length int, hint string, passages func(s *draw.Stream) passage, settings ...func()) error {
	least := 0
	const drawn = 32
	for _, apply := range settings {
		apply()
		s, sizes := draw.New(draw.Key(0, "size of passages")), make([]int, drawn)
		for i := range sizes {
			var err error
			if sizes[i], err = l.size(passages(s)); err != nil {
				return err
			}
		}
		slices.Sort(sizes)
		enough := sizes[3*drawn/4-1]
		if enough <= length {
			return nil
		}
		if least == 0 || enough < least {
			least = enough
		}
	}
	return &TooShortError{Length: length, Minimum: least, Set: hint}
}

// guessed returns the answer of another passage of the same kind.
func guessed(s *draw.Stream, passages func(s *draw.Stream) passage) answer {
	return answer{text: passages(s).answer}
}

// auto returns the values to try for a param: its own if set, otherwise the given ones.
func auto[T comparable](value T, otherwise ...T) []T {
	var zero T
	if value != zero {
		return []T{value}
	}
	return otherwise
}

// depthGroup names a depth for results, in tenths.
func depthGroup(depth float64) string {
	return fmt.Sprintf("depth %.2f", (float64(min(int(depth*10), 9))+0.5)/10)
}

var (
	adjectives = strings.Fields("amber ancient blue brass broken bright calm carved cold copper crooked dark dusty early empty fading gentle gilded golden green hidden hollow iron ivory late little lonely marble narrow northern painted quiet")
	nouns      = strings.Fields("anchor archive bakery barrel basket beacon bridge cabin candle castle cellar chapel clock compass cradle curtain garden gate harbour kettle ladder lantern library market mill mirror orchard piano saddle tower tunnel wagon")
	people     = strings.Fields("baker captain carter clerk doctor farmer ferryman gardener judge mason miller painter pilot porter sailor shepherd smith teacher weaver widow")
	verbs      = strings.Fields("carried counted described found forgot left lost mended noticed painted praised sold sought wanted watched")
	times      = []string{"before noon", "in the autumn", "that winter", "after the rain", "on market day", "at first light", "when the bells rang", "for the last time", "without a word", "in a hurry"}
)

// prose draws a sentence, the haystack that RULER fills with essays.
func prose(s *draw.Stream) string {
	pick := func(list []string) string { return list[s.Below(len(list))] }
	who, what := "the "+pick(people), "the "+pick(adjectives)+" "+pick(nouns)
	switch s.Below(4) {
	case 0:
		return " " + capital(who) + " " + pick(verbs) + " " + what + " " + pick(times) + "."
	case 1:
		return " " + capital(pick(times)) + ", " + who + " " + pick(verbs) + " " + what + "."
	case 2:
		return " Nobody knew why " + who + " " + pick(verbs) + " " + what + "."
	}
	return " " + capital(what) + " stood by the " + pick(nouns) + ", and " + who + " " + pick(verbs) + " it " + pick(times) + "."
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// fresh draws until it gets something new; after many tries it appends a number.
func fresh(used map[string]bool, draw func() string) string {
	for range 1000 {
		if v := draw(); !used[v] {
			used[v] = true
			return v
		}
	}
	base := draw()
	for i := 2; ; i++ {
		if v := fmt.Sprint(base, i); !used[v] {
			used[v] = true
			return v
		}
	}
}

// sorted returns n random depths in ascending order.
func sorted(s *draw.Stream, n int) []float64 {
	d := make([]float64, n)
	for i := range d {
		d[i] = s.Unit()
	}
	slices.Sort(d)
	return d
}
