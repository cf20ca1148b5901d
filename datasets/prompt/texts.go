// Package prompt makes sequences that probe the stability of a model, and scores what models answer: rules for answers in text,
// T_recall, accuracy within the last tokens.
package prompt

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// HeldOut is the index of the first sequence of a recall stream that no training run reaches.
const HeldOut = 1 << 40

// Texts choose the long sequences that a model is measured on. Kinds:
//
//	documents  documents of at least Length tokens, cut to it (Length 0: whole documents of any length), EOS left out
//	shuffled   the same with their tokens in random order
//	stream     Count sequences per domain of Length tokens each, of whole documents on end; no document is used twice
//	newlines   the token that the tokenizer makes of a run of newlines, Length times
//	constant   the token Token, Length times
//	random     uniformly random ids below Vocab (0: those of the tokenizer without EOS), Count sequences
//	repeated   Text over and over, cut at Length
//	recall     Count held-out sequences of the recall stream Recall
type Texts struct {
	Kind    string                `json:"kind"`
	Corpus  string                `json:"corpus,omitempty"` // embedded, or the path of a file or folder
	Split   string                `json:"split,omitempty"`  // empty: test of the embedded corpus, everything of another; or all
	Domains []string              `json:"domains,omitempty"`
	Length  int                   `json:"length"`          // tokens
	Count   int                   `json:"count,omitempty"` // sequences at most; 0: all documents, one of the others
	Token   int                   `json:"token,omitempty"`
	Vocab   int                   `json:"vocab,omitempty"` // of random; 0: the tokenizer's ids without EOS
	Text    string                `json:"text,omitempty"`
	Seed    int64                 `json:"seed"` // of shuffled and random
	Recall  datasets.RecallStream `json:"recall,omitzero"`
}

// Capitals is the text of repeated prompts if none is given, after the paper's second synthetic prompt.
const Capitals = "The capital of France is Paris. The capital of Japan is Tokyo. The capital of Kenya is Nairobi. "

var kinds = []string{"documents", "shuffled", "stream", "newlines", "constant", "random", "repeated", "recall"}

// Kinds lists the names that Texts accepts.
func Kinds() []string { return slices.Clone(kinds) }

// Textual reports whether a kind needs a tokenizer.
func (t Texts) Textual() bool {
	return t.Kind != "constant" && t.Kind != "recall" && !(t.Kind == "random" && t.Vocab > 0)
}

// OwnCorpus reports whether the sequences come from a file or folder of the user.
func (t Texts) OwnCorpus() bool {
	return slices.Contains([]string{"documents", "shuffled", "stream"}, t.Kind) && t.Corpus != "" && t.Corpus != "embedded"
}

// Validate names the field that is out of range.
func (t Texts) Validate() error {
	if !slices.Contains(kinds, t.Kind) {
		return fmt.Errorf("texts: kind %q is not one of %s", t.Kind, strings.Join(kinds, ", "))
	}
	whole := t.Kind == "documents" || t.Kind == "shuffled"
	if t.Length < 0 || t.Length == 1 || t.Length == 0 && !whole {
		return fmt.Errorf("texts: length is %d tokens, want 2 or more (or 0 for whole documents)", t.Length)
	}
	if t.Count < 0 {
		return fmt.Errorf("texts: count is %d, want 0 or more", t.Count)
	}
	if t.Vocab < 0 || t.Vocab == 1 {
		return fmt.Errorf("texts: vocab is %d, want 2 or more (or 0 for the tokenizer's)", t.Vocab)
	}
	if t.Kind == "recall" {
		return t.Recall.Validate()
	}
	return nil
}

// Make builds the sequences. The encoder may be nil for kinds that are not textual.
func (t Texts) Make(enc datasets.Encoder) ([]Probe, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if enc == nil && t.Textual() {
		return nil, fmt.Errorf("texts: kind %s needs a tokenizer", t.Kind)
	}
	one := func(p Probe, err error) ([]Probe, error) { return []Probe{p}, err }
	switch t.Kind {
	case "newlines":
		id, err := Newline(enc)
		if err != nil {
			return nil, err
		}
		p, err := Constant(id, t.Length)
		p.Name = "newlines"
		return one(p, err)
	case "constant":
		return one(Constant(t.Token, t.Length))
	case "random":
		vocab, eos := t.Vocab, -1
		if vocab == 0 {
			vocab, eos = enc.Vocab(), enc.EOS()
		}
		var all []Probe
		for i := range max(t.Count, 1) {
			all = append(all, random(vocab, eos, t.Length, t.Seed, int64(i)))
		}
		return all, nil
	case "repeated":
		text := t.Text
		if text == "" {
			text = Capitals
		}
		return one(Repeated(enc, text, t.Length))
	case "recall":
		var all []Probe
		for i := range max(t.Count, 1) {
			ids, _, _ := t.Recall.Sequence(HeldOut+int64(i), t.Length)
			all = append(all, Probe{Name: fmt.Sprintf("recall %d", i), Kind: "recall", Version: probeVersion, Seed: t.Recall.Seed, IDs: ids})
		}
		return all, nil
	}
	tokens, err := t.tokens(enc)
	if err != nil {
		return nil, err
	}
	defer tokens.Close()
	if t.Kind == "stream" {
		return t.streams(tokens)
	}
	return t.documents(tokens)
}

func (t Texts) tokens(enc datasets.Encoder) (*datasets.Tokens, error) {
	corpus, split := (*datasets.Corpus)(nil), t.Split
	var err error
	if t.Corpus == "" || t.Corpus == "embedded" {
		corpus, err = datasets.Embedded()
		if split == "" {
			split = "test"
		}
	} else {
		corpus, err = datasets.Open(t.Corpus)
	}
	if err != nil {
		return nil, err
	}
	f := datasets.Filter{Domains: t.Domains}
	if split != "" && split != "all" {
		f.Splits = []string{split}
	}
	return datasets.Tokenize(corpus, f, enc)
}

func (t Texts) documents(tokens *datasets.Tokens) (all []Probe, err error) {
	longest := 0
	for d := range tokens.Documents() {
		ids := tokens.Document(d)
		ids = ids[:len(ids)-1] // its EOS
		longest = max(longest, len(ids))
		n := len(ids)
		if t.Length > 0 {
			n = t.Length
		}
		if n < 2 || len(ids) < n || t.Count > 0 && len(all) == t.Count {
			continue
		}
		p := Probe{Name: tokens.Origins[d].ID, Kind: "document", Version: probeVersion, IDs: make([]int32, n),
			Sources: []Source{{tokens.Origins[d], 0, int64(n), n == len(ids)}}}
		for i := range p.IDs {
			p.IDs[i] = int32(ids[i])
		}
		if t.Kind == "shuffled" {
			p = Shuffled(p, t.Seed)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("texts: length is %d tokens, but the longest of %d documents has %d; choose a length ≤ %d, or streams", t.Length,
			tokens.Documents(), longest, longest)
	}
	return all, nil
}

// streams returns sequences of every domain asked for, or of every domain there is.
func (t Texts) streams(tokens *datasets.Tokens) (all []Probe, err error) {
	domains := t.Domains
	if len(domains) == 0 {
		for _, o := range tokens.Origins {
			if !slices.Contains(domains, o.Domain) {
				domains = append(domains, o.Domain)
			}
		}
	}
	for _, d := range domains {
		some, err := Streams(tokens, d, int64(t.Length), max(t.Count, 1))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// random draws ids independently and uniformly below vocab, without eos.
func random(vocab, eos, length int, seed, index int64) Probe {
	s := draw.New(draw.Key(seed, "random", index))
	p := Probe{Name: fmt.Sprintf("random %d", index), Kind: "random", Version: probeVersion, Seed: seed, IDs: make([]int32, length)}
	for i := range p.IDs {
		for {
			if p.IDs[i] = int32(s.Below(vocab)); int(p.IDs[i]) != eos {
				break
			}
		}
	}
	return p
}
