// Package prompt makes the questions that a model is asked about its memory: passkeys after arXiv 2410.07145 (section “passkey
// retrieval”), InfiniteBench (arXiv 2402.13718) and LongLoRA (arXiv 2309.12307), retrieval of several keys and values in the manner of
// RULER (arXiv 2404.06654) with texts of its own, and sequences that probe stability. Every record is a pure function of seed, index
// and parameters, and its length in the model's tokens is exact.
package prompt

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"stuffed/datasets"
	"stuffed/pkg/atomic"
)

// Record is one question. Its text ends right before the answer.
type Record struct {
	Text        string   `json:"text"`
	IDs         []int    `json:"ids"`          // [length], decode to Text
	Answer      string   `json:"answer"`       // as it stands in the text, without white space around it
	AnswerIDs   []int    `json:"answer_ids"`   // what a perfect model goes on with: the answer and the space before it
	Answers     []string `json:"answers"`      // the parts of the answer
	Depth       float64  `json:"depth"`        // 0: needle at the start of the haystack, 1: at its end
	NeedleStart int      `json:"needle_start"` // token at which the key's sentence begins
	NeedleEnd   int      `json:"needle_end"`   // token after the key's sentence
	Needles     [][2]int `json:"needles"`      // start and end of every sentence that holds a part of the answer
	Length      int      `json:"length"`       // tokens
	Variant     string   `json:"variant"`
	Tokenizer   string   `json:"tokenizer"`
	Seed        int64    `json:"seed"`
	Index       int64    `json:"index"`
	Version     string   `json:"version"`
}

// TooShortError says that a prompt's fixed part does not fit into the length asked for.
type TooShortError struct {
	Variant         string
	Length, Minimum int // tokens
}

func (e *TooShortError) Error() string {
	return fmt.Sprintf("length is %d tokens, below the fixed part of the %s prompt: choose length ≥ %d", e.Length, e.Variant, e.Minimum)
}

// pieces is a prompt under construction: text and tokens grow together.
type pieces struct {
	enc  datasets.Encoder
	memo map[string][]int
	text strings.Builder
	ids  []int
	err  error
}

// tokens encodes with a memory for the pieces that come again and again.
func (p *pieces) tokens(text string) []int {
	if text == "" || p.err != nil {
		return nil
	}
	if ids, ok := p.memo[text]; ok {
		return ids
	}
	ids, err := datasets.Part(p.enc, text)
	if err != nil {
		p.err = fmt.Errorf("tokenizer %s: %w", p.enc.Name(), err)
		return nil
	}
	p.memo[text] = ids
	return ids
}

// put appends a text and returns the tokens that it takes up.
func (p *pieces) put(text string) (span [2]int) {
	span[0] = len(p.ids)
	p.ids = append(p.ids, p.tokens(text)...)
	p.text.WriteString(text)
	span[1] = len(p.ids)
	return span
}

// cut appends the first n tokens of a text, which is repeated if it has fewer.
func (p *pieces) cut(text string, n int) {
	ids := p.tokens(text)
	for p.err == nil && n > 0 && len(ids) > 0 {
		head := ids[:min(n, len(ids))]
		decoded := text
		if len(head) < len(ids) {
			if decoded, p.err = p.enc.Decode(head); p.err != nil {
				return
			}
		}
		p.ids = append(p.ids, head...)
		p.text.WriteString(decoded)
		n -= len(head)
	}
}

// finish fills text and ids of a record and checks everything that it promises.
func (p *pieces) finish(r *Record) error {
	if p.err != nil {
		return p.err
	}
	r.Text, r.IDs, r.Tokenizer = p.text.String(), p.ids, p.enc.Name()
	if len(r.IDs) != r.Length {
		return fmt.Errorf("prompt %s, index %d: made %d tokens, wanted %d", r.Variant, r.Index, len(r.IDs), r.Length)
	}
	decoded, err := p.enc.Decode(r.IDs)
	if err != nil {
		return fmt.Errorf("tokenizer %s: %w", r.Tokenizer, err)
	}
	if decoded != r.Text {
		return fmt.Errorf("prompt %s, index %d: tokenizer %s does not decode its own ids to the text that they came from", r.Variant, r.Index, r.Tokenizer)
	}
	for i, span := range r.Needles {
		needle, err := p.enc.Decode(r.IDs[span[0]:span[1]])
		if err != nil {
			return fmt.Errorf("tokenizer %s: %w", r.Tokenizer, err)
		}
		if !strings.Contains(needle, r.Answers[i]) || strings.Count(r.Text, needle) != 1 {
			return fmt.Errorf("prompt %s, index %d: the needle %q is not in the text exactly once", r.Variant, r.Index, needle)
		}
	}
	return nil
}

// Write makes a JSON-lines file of the records that each hands out; the file appears complete or not at all.
func Write(path string, each func(put func(Record) error) error) error {
	return atomic.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return each(func(r Record) error { return e.Encode(r) })
	})
}
