package task

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"

	"stuffed/datasets"
)

// Form is the layout of text-based task sequences. The zero Form is that of Open.
type Form struct {
	Question bool   // lengths count the tokens before the answer, which is appended
	Haystack string // text of your own to hide needles in, read from its beginning and repeated; empty: the task's own
}

// ownWords splits such a text into indivisible pieces: at most 24 characters with the white space before them.
var ownWords = regexp.MustCompile(`\s*\S{1,24}`)

func (f Form) lexicon(enc datasets.Encoder) (lexicon, error) {
	l := lexicon{enc: enc, kept: &sync.Map{}, question: f.Question}
	if f.Haystack != "" {
		if l.own = ownWords.FindAllString(f.Haystack, -1); l.own == nil {
			return l, errors.New("haystack: the text is empty")
		}
	}
	return l, nil
}

// version is the version of a kind in this form.
func (f Form) version(kind string) string {
	if f.Question {
		kind += " question"
	}
	if f.Haystack != "" {
		sum := sha256.Sum256([]byte(f.Haystack))
		kind += fmt.Sprintf(" in %x", sum[:4])
	}
	return kind
}

// inOrder returns the pieces one at a time and starts over after the last.
func inOrder(pieces []string) func() string {
	next := 0
	return func() string {
		next++
		return pieces[(next-1)%len(pieces)]
	}
}

// Needle is an item hidden in a text.
type Needle struct {
	Text       string
	Start, End int  // its first token, and the token after it
	Main       bool // the needle that a Place refers to
}

// Place is the depth of the main needle, and the number of the sequence among those with that depth.
type Place struct {
	Depth float64 // 0: start of the haystack, 1: its end
	Trial int     // 0 … 2²⁰ − 1
}

// Index is the sequence's index, which does not depend on the other places in use.
func (p Place) Index() int64 { return int64(math.Round(p.Depth*1e9))<<20 | int64(p.Trial) }

// Validate returns an error that names the field that is out of range.
func (p Place) Validate() error {
	if math.IsNaN(p.Depth) || p.Depth < 0 || p.Depth > 1 {
		return fmt.Errorf("depth is %g, want 0 to 1", p.Depth)
	}
	if p.Trial < 0 || p.Trial >= 1<<20 {
		return fmt.Errorf("trial is %d, want 0 to %d", p.Trial, 1<<20-1)
	}
	return nil
}

// At returns the sequence of a seed whose main needle is at the given place.
func (t *Task) At(seed int64, p Place) (Record, error) {
	if err := p.Validate(); err != nil {
		return Record{}, fmt.Errorf("task %s: %w", t.Name, err)
	}
	r, err := t.make(Record{Task: t.Name, Version: t.form.version(t.Version), Params: t.Params, Seed: seed, Index: p.Index(), place: &p.Depth})
	if err == nil && r.main() == nil {
		err = fmt.Errorf("task %s: nothing of it is hidden at one place", t.Name)
	}
	return r, err
}

func (r Record) main() *Needle {
	for i := range r.Needles {
		if r.Needles[i].Main {
			return &r.Needles[i]
		}
	}
	return nil
}

// Prompt is a record without its answer.
type Prompt struct {
	Text        string   `json:"text"`
	IDs         []int32  `json:"ids"`          // [length], decode to Text
	Answer      string   `json:"answer"`       // without surrounding white space
	AnswerIDs   []int32  `json:"answer_ids"`   // continuation by a perfect model: the answer with the space before it
	Answers     []string `json:"answers"`      // the parts of the answer
	Depth       float64  `json:"depth"`        // of the main needle; 0: start of the haystack, 1: its end
	NeedleStart int      `json:"needle_start"` // token at which the main needle begins
	NeedleEnd   int      `json:"needle_end"`   // token after it
	Needles     [][2]int `json:"needles"`      // of everything that holds a part of the answer
	Length      int      `json:"length"`       // tokens
	Variant     string   `json:"variant"`
	Tokenizer   string   `json:"tokenizer"`
	Seed        int64    `json:"seed"`
	Index       int64    `json:"index"`
	Version     string   `json:"version"`
}

// Prompt returns the sequence at a place without its answer. Ids that the tokenizer does not decode to the text that they came from are an
// error.
func (t *Task) Prompt(seed int64, place Place) (Prompt, error) {
	r, err := t.At(seed, place)
	if err != nil {
		return Prompt{}, err
	}
	cut := len(r.IDs) - len(r.Answers)
	p := Prompt{Text: strings.TrimSuffix(r.Text, r.Answer), IDs: r.IDs[:cut], Answer: strings.TrimSpace(r.Answer), AnswerIDs: r.Answers,
		Answers: r.Parts, Depth: place.Depth, Length: cut, Variant: t.Name, Tokenizer: t.enc.Name(), Seed: seed, Index: r.Index, Version: r.Version}
	if decoded, err := Decode(t.enc, p.IDs); err != nil || decoded != p.Text {
		return p, fmt.Errorf("task %s, index %d: tokenizer %s does not decode its own ids to the text that they came from (%v)", t.Name, r.Index, p.Tokenizer, err)
	}
	main, err := t.span(p.IDs, *r.main())
	if err != nil {
		return p, err
	}
	p.NeedleStart, p.NeedleEnd = main[0], main[1]
	for _, part := range r.Parts {
		for _, n := range r.Needles {
			if strings.Contains(n.Text, part) {
				span, err := t.span(p.IDs, n)
				if err != nil {
					return p, err
				}
				p.Needles = append(p.Needles, span)
				break
			}
		}
	}
	return p, nil
}

// span returns the tokens of a needle without surrounding line breaks.
func (t *Task) span(ids []int32, n Needle) (span [2]int, err error) {
	span = [2]int{n.Start, n.End}
	for _, end := range []int{0, 1} {
		for span[0] < span[1] {
			at := span[0]
			if end == 1 {
				at = span[1] - 1
			}
			text, err := Decode(t.enc, ids[at:at+1])
			if err != nil {
				return span, fmt.Errorf("tokenizer %s: %w", t.enc.Name(), err)
			}
			if text != "\n" {
				break
			}
			span[end] += 1 - 2*end
		}
	}
	return span, nil
}
