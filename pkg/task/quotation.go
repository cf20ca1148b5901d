package task

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

var documents = []Kind{
	{"quotation", "quotation-1", "the next words of a passage of a real document, quoted after it", true, func() maker { return &quotation{Split: "test"} }},
	{"names", "names-1", "a name in a real document, asked for by the words before it", true, func() maker { return &quotation{Split: "test", Names: true} }},
}

// quotation asks for words of a real document: a stretch of the corpus inside the program, then a few words that stand in
// it once, to be gone on with. The nearer the passage, the easier; sequence index has depth (index mod depths + ½)/depths.
// Small models can pass it, since copying is enough. With Blind the stretch is taken from elsewhere, so that the answer
// is not in it: what is still right then is the floor, what language alone tells.
type quotation struct {
	Split string `json:"split" about:"of the corpus: train, valid, test"`
	Cue   int    `json:"cue" about:"words of the quotation; 0: six where they fit"`
	Words int    `json:"words" about:"words to be said; 0: four where they fit, or the name"`
	Names bool   `json:"names" about:"ask for a name, a capitalised word inside a sentence"`
	Blind bool   `json:"blind" about:"leave out the passage that is asked for: the floor"`
	Depth int    `json:"depths" about:"depths; 0: 10"`

	length int
	text   string
	words  [][2]int // starts and ends of the words of text
	lexicon
}

// libraries caches the concatenated documents of each split, and their words.
var libraries sync.Map

type library struct {
	text  string
	words [][2]int
}

var word = regexp.MustCompile(`\S+`)

func openLibrary(split string) (*library, error) {
	if l, ok := libraries.Load(split); ok {
		return l.(*library), nil
	}
	corpus, err := datasets.Embedded()
	if err != nil {
		return nil, err
	}
	docs, err := corpus.Documents(func(d datasets.Document) bool { return d.Split == split })
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, d := range docs {
		b.WriteString(d.Text + "\n\n")
	}
	l := &library{text: b.String()}
	for _, at := range word.FindAllStringIndex(l.text, -1) {
		l.words = append(l.words, [2]int{at[0], at[1]})
	}
	libraries.Store(split, l)
	return l, nil
}

func (q *quotation) open(length int, words lexicon) error {
	q.length, q.lexicon = length, words
	if err := oneOf("split", q.Split, "train", "valid", "test"); err != nil {
		return err
	}
	if q.Depth == 0 {
		q.Depth = 10
	}
	if err := within(bounds{"cue", q.Cue, 0, 64}, bounds{"words", q.Words, 0, 64}, bounds{"depths", q.Depth, 1, 1 << 20}); err != nil {
		return err
	}
	l, err := openLibrary(q.Split)
	if err != nil {
		return err
	}
	q.text, q.words = l.text, l.words
	if 2*length > len(q.words) {
		return fmt.Errorf("length is %d tokens, split %s of the corpus has only %d words: choose length ≤ %d", length, q.Split, len(q.words), len(q.words)/2)
	}
	small := length < 256
	if q.Cue == 0 {
		q.Cue = 6 - 3*b2i(small)
	}
	if q.Words == 0 {
		q.Words = 4 - 2*b2i(small)
		if q.Names {
			q.Words = 1
		}
	}
	least := 0
	s := draw.New(draw.Key(0, "size of quotations"))
	for range 16 {
		at := s.Below(len(q.words) - q.Cue - q.Words)
		ask, answer := q.ask(at)
		a, err := q.tokens(ask)
		if err != nil {
			return err
		}
		b, err := q.tokens(answer)
		if err != nil {
			return err
		}
		if n := 2*len(a) + 2*len(b); least == 0 || n < least {
			least = n
		}
	}
	if least > length {
		return &TooShortError{Length: length, Minimum: least, Set: "fewer cue and words"}
	}
	return nil
}

// ask returns the question about the words starting at a position, and the answer.
func (q *quotation) ask(at int) (question, answer string) {
	between := q.text[q.words[at][0]:q.words[at+q.Cue-1][1]]
	said := q.text[q.words[at+q.Cue-1][1]:q.words[at+q.Cue+q.Words-1][1]]
	return "\n\nIt says: " + between, said
}

// isName reports whether a word is capitalised, inside a sentence and on the same line as the previous word.
func (q *quotation) isName(at int) bool {
	w, before := q.text[q.words[at][0]:q.words[at][1]], q.text[q.words[at-1][0]:q.words[at-1][1]]
	first, size := utf8.DecodeRuneInString(w)
	next, _ := utf8.DecodeRuneInString(w[size:])
	last := before[len(before)-1]
	return unicode.IsUpper(first) && unicode.IsLower(next) && (last == ',' || 'a' <= last && last <= 'z')
}

// place draws the first word of a quotation that stands once among so many words before and after it.
func (q *quotation) place(s *draw.Stream) (at int, ok bool) {
	for range 4096 {
		at = q.length/2 + s.Below(len(q.words)-q.length-q.Cue-q.Words)
		said := q.text[q.words[at][0]:q.words[at+q.Cue+q.Words-1][1]]
		if strings.ContainsAny(said, "\n\r") || q.Names && !q.isName(at+q.Cue) {
			continue
		}
		ask, _ := q.ask(at)
		cue := strings.TrimPrefix(ask, "\n\nIt says: ")
		from, to := q.words[max(at-q.length, 0)][0], q.words[min(at+q.length, len(q.words)-1)][1]
		if strings.Count(q.text[from:to], cue) == 1 {
			return at, true
		}
	}
	return 0, false
}

func (q *quotation) fill(s *draw.Stream, r *Record) error {
	depth := (float64(r.Index%int64(q.Depth)) + 0.5) / float64(q.Depth)
	for range attempts {
		at, ok := q.place(s)
		if !ok {
			return fmt.Errorf("no passage stands once among %d words; choose a longer cue", q.length)
		}
		ask, answer := q.ask(at)
		a, err := q.tokens(ask)
		if err != nil {
			return err
		}
		b, err := q.tokens(answer)
		if err != nil {
			return err
		}
		room := q.length - len(a) - len(b)
		passage, err := q.tokens(strings.TrimPrefix(ask, "\n\nIt says: ") + answer)
		if err != nil {
			return err
		}
		if len(passage) > room {
			continue
		}
		if q.Blind {
			at = (at + len(q.words)/2) % (len(q.words) - q.length)
			at = max(at, q.length)
		}
		context, text, err := q.stretch(at, room, int(depth*float64(room-len(passage))))
		if err != nil {
			return err
		}
		return q.compose(r, context, text, ask, answer, depth)
	}
	return &TooShortError{Length: q.length, Minimum: 2 * q.length, Set: "fewer cue and words"}
}

// stretch returns room tokens of the library, of which about before precede the given word.
func (q *quotation) stretch(at, room, before int) (ids []int32, text string, err error) {
	from, to := max(at-room, 0), min(at+room, len(q.words)-1)
	head, err := q.tokens(q.text[q.words[from][0]:q.words[at][0]])
	if err != nil {
		return nil, "", err
	}
	tail, err := q.tokens(q.text[q.words[at][0]:q.words[to][1]])
	if err != nil {
		return nil, "", err
	}
	head = head[max(len(head)-before, 0):]
	ids = append(ids, head...)
	ids = append(ids, tail[:room-len(head)]...)
	text, err = Decode(q.enc, ids)
	return ids, text, err
}

func (q *quotation) compose(r *Record, context []int32, text, ask, answer string, depth float64) error {
	p := page{lexicon: q.lexicon, ids: context}
	p.text.WriteString(text)
	p.put(ask)
	before := len(p.ids)
	p.put(answer)
	if p.err != nil {
		return p.err
	}
	for i := before; i < len(p.ids); i++ {
		r.Positions, r.Answers = append(r.Positions, i-1), append(r.Answers, p.ids[i])
	}
	r.IDs, r.Text, r.Answer, r.Parts = p.ids, p.text.String(), answer, []string{strings.TrimSpace(answer)}
	r.Group, r.Meta = depthGroup(depth), map[string]float64{"depth": depth}
	return nil
}

func (q *quotation) guess(s *draw.Stream, _ *Record) answer {
	_, said := q.ask(s.Below(len(q.words) - q.Cue - q.Words))
	return answer{text: said}
}
func (q *quotation) chance() float64 { return 0 }
func (q *quotation) vocab() int      { return 0 }
