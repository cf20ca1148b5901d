package task

import (
	"fmt"
	"strings"

	"stuffed/datasets/draw"
)

var needles = []Kind{
	{"passkey", "passkey-2", "five digits hidden in the same few sentences (Stuffed Mamba, InfiniteBench, LongLoRA)", true,
		func() maker { return &passkey{Variant: "paper"} }},
	{"number-string", "number-string-1", "ten digits, each of five twice, hidden in the same few sentences (InfiniteBench)", true,
		func() maker { return &passkey{Variant: "number-string"} }},
	{"key-value", "key-value-1", "the value of one key of a JSON object of random identifiers (InfiniteBench)", true,
		func() maker { return &keyValue{} }},
	ruler("niah-single-1", "a number kept for a word, in repeated noise", niah{Hay: "noise", Key: "word", Value: "number", Keys: 1, Values: 1, Queries: 1}),
	ruler("niah-single-2", "a number kept for a word, in prose", niah{Hay: "prose", Key: "word", Value: "number", Keys: 1, Values: 1, Queries: 1}),
	ruler("niah-single-3", "a random identifier kept for a word, in prose", niah{Hay: "prose", Key: "word", Value: "uuid", Keys: 1, Values: 1, Queries: 1}),
	ruler("niah-multikey-1", "one of four numbers kept for words, in prose", niah{Hay: "prose", Key: "word", Value: "number", Values: 1, Queries: 1, most: 4}),
	ruler("niah-multikey-2", "one of many numbers kept for words, and nothing else", niah{Hay: "needle", Key: "word", Value: "number", Keys: 1, Values: 1, Queries: 1}),
	ruler("niah-multikey-3", "one of many identifiers kept for identifiers, and nothing else", niah{Hay: "needle", Key: "uuid", Value: "uuid", Keys: 1, Values: 1, Queries: 1}),
	ruler("niah-multivalue", "four numbers kept for one word, in prose", niah{Hay: "prose", Key: "word", Value: "number", Keys: 1, Queries: 1, most: 4}),
	ruler("niah-multiquery", "numbers kept for four words, all asked for, in prose", niah{Hay: "prose", Key: "word", Value: "number", Values: 1, most: 4}),
	{"variable-tracking", "variable-tracking-1", "all variables that hold a value through a chain of assignments (RULER vt)", true,
		func() maker { return &chain{Chains: 1} }},
	{"common-words", "common-words-1", "the words that a list names most often (RULER cwe)", true, func() maker { return &common{} }},
	{"frequent-words", "frequent-words-1", "the most frequent made-up words of a text (RULER fwe)", true, func() maker { return &frequent{Alpha: 2} }},
}

// passkey hides a key in noise. Variants: paper (arXiv 2410.07145, appendix; key 00000 … 99999), infinitebench (arXiv
// 2402.13718), longlora (arXiv 2309.12307; key 1 … 50000, noise cut at any word) and number-string (InfiniteBench; ten
// digits, five of which repeat one that is there). Wording short keeps the task and leaves out the instructions.
type passkey struct {
	Variant string `json:"variant" about:"paper, infinitebench, longlora or number-string"`
	Wording string `json:"wording" about:"full or short; empty: full where it fits"`
	Depths  int    `json:"depths" about:"sequence index has depth (index mod depths + ½)/depths; 0: 10"`

	length int
	form   form
	lexicon
}

// form is the wording of a variant; K stands for the key. Line breaks stand before the pieces, so that tokenizers which
// join white space to what follows cut where we cut.
type form struct {
	prefix, needle, question string
	words                    bool // noise word by word
	key                      func(s *draw.Stream) string
}

func fiveDigits(s *draw.Stream) string { return fmt.Sprintf("%05d", s.Below(100000)) }

var forms = map[string]form{
	"paper": {"There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n",
		"\nThe passkey is K. Remember it. K is the passkey.", "\n\nWhat is the pass key? The passkey is", false, fiveDigits},
	"infinitebench": {"There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n",
		"\nThe pass key is K. Remember it. K is the pass key.", "\n\n\nWhat is the pass key?\n\nThe pass key is", false, fiveDigits},
	"longlora": {"There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n",
		"\nThe pass key is K. Remember it. K is the pass key.\n", "\nWhat is the pass key? The pass key is", true,
		func(s *draw.Stream) string { return fmt.Sprint(1 + s.Below(50000)) }},
	"number-string": {"There is an important info hidden inside a lot of irrelevant text. Find it. I will quiz you about the important information there.\n",
		"\nThe sequence of digits is K. Remember it. K is the sequence of digits.", "\nWhat is the sequence of digits?\nThe sequence of digits is", false, doubledDigits},
}

// doubledDigits draws five digits and then doubles one of those present, five times.
func doubledDigits(s *draw.Stream) string {
	digits := []byte(fiveDigits(s))
	for range 5 {
		at := s.Below(len(digits))
		digits = append(digits[:at+1], digits[at:]...)
	}
	return string(digits)
}

func (p *passkey) open(length int, words lexicon) error {
	p.length, p.lexicon = length, words
	if err := oneOf("variant", p.Variant, "paper", "infinitebench", "longlora", "number-string"); err != nil {
		return err
	}
	if err := oneOf("wording", p.Wording, "", "full", "short"); err != nil {
		return err
	}
	if p.Depths == 0 {
		p.Depths = 10
	}
	if err := within(bounds{"depths", p.Depths, 1, 1 << 20}); err != nil {
		return err
	}
	var settings []func()
	for _, wording := range auto(p.Wording, "full", "short") {
		settings = append(settings, func() {
			p.Wording, p.form = wording, forms[p.Variant]
			if wording == "short" {
				p.form.prefix, p.form.needle, p.form.question = "", "\nThe key is K.", "\nThe key is"
			}
		})
	}
	if err := p.choose(length, "wording=short", func(s *draw.Stream) passage { return p.passage(s, 0) }, settings...); err != nil {
		return err
	}
	for _, text := range []string{p.form.prefix, "\n" + noise, p.form.question} {
		if _, err := p.keep(text); err != nil {
			return err
		}
	}
	return nil
}

func (p *passkey) passage(s *draw.Stream, depth float64) passage {
	key := p.form.key(s)
	filler := func() string { return "\n" + noise }
	if p.form.words {
		words, next := strings.SplitAfter(noise+" ", " "), 0
		filler = func() string {
			next++
			return strings.TrimSuffix(" "+words[(next-1)%(len(words)-1)], " ")
		}
	}
	return passage{prefix: p.form.prefix, needles: []needle{{strings.ReplaceAll(p.form.needle, "K", key), depth, true}}, filler: filler, rest: " " + noise,
		question: p.form.question, answer: " " + key, parts: []string{key}, group: depthGroup(depth), meta: map[string]float64{"depth": depth}}
}

func (p *passkey) fill(s *draw.Stream, r *Record) error {
	depth := (float64(r.Index%int64(p.Depths)) + 0.5) / float64(p.Depths)
	if r.place != nil {
		depth = *r.place
	}
	return p.lay(s, p.length, r, func(s *draw.Stream) passage { return p.passage(s, depth) })
}

func (p *passkey) guess(s *draw.Stream, _ *Record) answer {
	return guessed(s, func(s *draw.Stream) passage { return p.passage(s, 0) })
}

func (p *passkey) chance() float64 {
	switch p.Variant {
	case "longlora":
		return 1.0 / 50000
	}
	return 1e-5
}
func (p *passkey) vocab() int { return 0 }

// identifier returns a random version 4 UUID, or its first n characters.
func identifier(s *draw.Stream, n int) string {
	a, b := s.Uint64(), s.Uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 2<<62
	text := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
	return text[:min(n, len(text))]
}

// keyValue is InfiniteBench's retrieval from a JSON object (arXiv 2402.13718, Retrieve.KV): pairs of random identifiers,
// as many as fit, and the key of one of them.
type keyValue struct {
	Identifier int    `json:"identifier" about:"characters of an identifier; 0: 36, or fewer where 36 do not fit"`
	Wording    string `json:"wording" about:"full or short; empty: full where it fits"`

	length int
	lexicon
}

func (k *keyValue) open(length int, words lexicon) error {
	k.length, k.lexicon = length, words
	if err := within(bounds{"identifier", k.Identifier, 0, 36}); err != nil {
		return err
	}
	if err := oneOf("wording", k.Wording, "", "full", "short"); err != nil {
		return err
	}
	var settings []func()
	for _, n := range auto(k.Identifier, 36, 13, 8, 4) {
		for _, wording := range auto(k.Wording, "full", "short") {
			settings = append(settings, func() { k.Identifier, k.Wording = n, wording })
		}
	}
	return k.choose(length, "wording=short or a shorter identifier", k.passages(nil), settings...)
}

// passages have their key at a given place, or anywhere.
func (k *keyValue) passages(place *float64) func(s *draw.Stream) passage {
	return func(s *draw.Stream) passage { return k.passage(s, place) }
}

func (k *keyValue) passage(s *draw.Stream, place *float64) passage {
	used := map[string]bool{}
	name := func() string { return fresh(used, func() string { return identifier(s, k.Identifier) }) }
	key, value, depth := name(), name(), s.Unit()
	if place != nil {
		depth = *place
	}
	pair := func(key, value string) string { return `"` + key + `": "` + value + `",` + "\n" }
	p := passage{prefix: "Extract the value that belongs to the key below from this JSON object.\n{", question: "}\nKey: \"" + key + "\"\nThe value of this key is:",
		needles: []needle{{pair(key, value), depth, true}}, filler: func() string { return pair(name(), name()) },
		answer: " " + value, parts: []string{value}, group: depthGroup(depth), meta: map[string]float64{"depth": depth}}
	if k.Wording == "short" {
		p.prefix, p.question = "", `"`+key+`":`
	}
	return p
}

func (k *keyValue) fill(s *draw.Stream, r *Record) error {
	return k.lay(s, k.length, r, k.passages(r.place))
}
func (k *keyValue) guess(s *draw.Stream, _ *Record) answer {
	return guessed(s, k.passages(nil))
}
func (k *keyValue) chance() float64 { return 0 }
func (k *keyValue) vocab() int      { return 0 }
