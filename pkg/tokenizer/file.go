package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"stuffed/pkg/atomic"
)

const (
	maxFile      = 64 << 20 // bytes of a tokenizer.json
	maxVocab     = 1 << 20  // ids
	maxAddedText = 1 << 10  // bytes of an added token
)

// files of a tokenizer by name, in the order in which they are looked for, with what reads each. A list of RWKV's words has a version
// in its name.
var files = []struct {
	pattern string
	parse   func(content []byte, name string) (Tokenizer, error)
}{
	{"tokenizer.json", Parse}, {"rwkv_vocab*.txt", ParseWorld}, {"tekken.json", ParseTekken}, {"tokenizer.model*", ParseSentencePiece},
	{"tekken_*.json", ParseTekken}, {"*.model*", ParseSentencePiece}, {"*", Parse},
}

// Open reads the tokenizer of a file, or of a folder that has one: a tokenizer.json (see [Parse]), RWKV's list of words (see
// [ParseWorld]), Mistral's tekken.json (see [ParseTekken]) or a sentencepiece model (see [ParseSentencePiece]), known by their names.
// A tokenizer_config.json beside it says which token ends a document. Anything that would change the ids and is not understood is an
// error.
func Open(path string) (Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if path, err = in(path); err != nil {
			return nil, err
		}
	}
	content, err := atomic.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	for _, f := range files {
		if match, _ := filepath.Match(f.pattern, base); !match {
			continue
		}
		t, err := f.parse(content, strings.TrimSuffix(strings.TrimSuffix(base, ".json"), ".txt"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if b, ok := t.(*bpe); ok {
			b.configure(filepath.Join(filepath.Dir(path), "tokenizer_config.json"))
		}
		return t, nil
	}
	return nil, nil // the last pattern matches everything
}

// In reports whether a folder has a tokenizer's file.
func In(dir string) bool {
	_, err := in(dir)
	return err == nil
}

func in(dir string) (string, error) {
	for _, f := range files[:4] {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), f.pattern))
		if err == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%s: not a regular file, and as a folder it has no tokenizer.json, rwkv_vocab*.txt, tekken.json or tokenizer.model", dir)
}

func escapeGlob(path string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(path)
}

// configure takes the token that ends a document from a tokenizer_config.json, if there is one that names a token of the vocabulary.
func (t *bpe) configure(path string) {
	content, err := atomic.Read(path, maxFile)
	if err != nil {
		return
	}
	var config struct {
		EOS json.RawMessage `json:"eos_token"`
	}
	var named struct{ Content string }
	if json.Unmarshal(content, &config) != nil || json.Unmarshal(config.EOS, &named.Content) != nil && json.Unmarshal(config.EOS, &named) != nil {
		return
	}
	for id, text := range t.texts {
		if named.Content != "" && text == named.Content && t.known[id] {
			t.eos = id
		}
	}
}

type addedToken struct {
	ID         *int   `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
}

type tokenizerFile struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *stage       `json:"normalizer"`
	PreTokenizer  *stage       `json:"pre_tokenizer"`
	PostProcessor *stage       `json:"post_processor"`
	Decoder       *stage       `json:"decoder"`
	Model         struct {
		Type         string            `json:"type"`
		Dropout      *float64          `json:"dropout"`
		Unknown      *string           `json:"unk_token"`
		Fuse         bool              `json:"fuse_unk"`
		Prefix       string            `json:"continuing_subword_prefix"`
		Suffix       string            `json:"end_of_word_suffix"`
		ByteFallback bool              `json:"byte_fallback"`
		IgnoreMerges bool              `json:"ignore_merges"`
		Vocab        map[string]int    `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"`
	} `json:"model"`
	spelling spelling
}

// Parse reads the content of a tokenizer.json whose model is BPE: of bytes, as those of GPT-NeoX and Llama-3, or of characters with
// bytes for those that the vocabulary lacks, as those of Llama-2 and Mistral. Truncation and padding are left out, as transformers
// leaves them out unless asked. name becomes the tokenizer's name.
func Parse(content []byte, name string) (Tokenizer, error) {
	t, err := parse(content, name)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func parse(content []byte, name string) (*bpe, error) {
	var file tokenizerFile
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	m := file.Model
	t := &bpe{name: name, raw: newMatcher(), normal: newMatcher(), eos: -1, unknown: -1, fuse: m.Fuse, direct: m.IgnoreMerges}
	var err error
	for _, p := range []*pipeline{&t.whole, &t.part} {
		prefix := p == &t.whole
		if p.normalize, err = file.Normalizer.normalizers(prefix); err != nil {
			return nil, err
		}
		if p.split, t.byteLevel, err = file.PreTokenizer.splitters(prefix); err != nil {
			return nil, err
		}
	}
	if t.before, t.after, err = file.PostProcessor.frame(); err != nil {
		return nil, err
	}
	if file.spelling, err = file.Decoder.spelling(); err != nil {
		return nil, err
	}
	if file.Decoder == nil && !t.byteLevel {
		file.spelling = func(entry string) string { return entry }
	}
	for _, load := range []func(*tokenizerFile) error{t.loadVocab, t.loadMerges, t.loadAdded} {
		if err := load(&file); err != nil {
			return nil, err
		}
	}
	for _, id := range append(t.before, t.after...) {
		if id < 0 || id >= len(t.known) || !t.known[id] {
			return nil, fmt.Errorf("post_processor adds the id %d, which is not a token", id)
		}
	}
	return t, nil
}

func (f *tokenizerFile) check() error {
	m := f.Model
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("model.type is %q, only BPE is read", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("model.dropout is %g, only none is read", *m.Dropout)
	case m.Prefix != "" || m.Suffix != "":
		return fmt.Errorf("model: continuing_subword_prefix and end_of_word_suffix must be unset")
	case len(m.Vocab) == 0:
		return fmt.Errorf("model.vocab is missing or empty")
	}
	return nil
}

// byteRunes maps each byte to the character that stands for it in the vocabulary: itself where printable, else U+0100 and up.
var byteRunes, runeBytes = func() (runes [256]rune, bytes map[rune]byte) {
	bytes = map[rune]byte{}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if printable := b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae; !printable {
			r = next
			next++
		}
		runes[b], bytes[r] = r, byte(b)
	}
	return runes, bytes
}()

// bytesOf translates a vocabulary entry to the bytes it stands for; one with another character, such as a special token, is its own text.
func bytesOf(entry string) string {
	text := make([]byte, 0, len(entry))
	for _, r := range entry {
		b, ok := runeBytes[r]
		if !ok {
			return entry
		}
		text = append(text, b)
	}
	return string(text)
}

func (t *bpe) set(id int, text string) error {
	if id < 0 || id >= maxVocab {
		return fmt.Errorf("token %.40q has id %d, must be from 0 to %d", text, id, maxVocab-1)
	}
	for len(t.texts) <= id {
		t.texts, t.known = append(t.texts, ""), append(t.known, false)
	}
	t.texts[id], t.known[id] = text, true
	return nil
}

func (t *bpe) loadVocab(f *tokenizerFile) error {
	vocab := f.Model.Vocab
	// Holes between ids are rare and small; a huge id among few tokens would only cost memory.
	limit := 2*(len(vocab)+len(f.AddedTokens)) + 1024
	for entry, id := range vocab {
		if id >= limit {
			return fmt.Errorf("token %.40q has id %d, beyond twice the number of tokens", entry, id)
		}
		if id >= 0 && id < len(t.known) && t.known[id] {
			return fmt.Errorf("id %d belongs to two tokens, one is %.40q", id, entry)
		}
		if err := t.set(id, f.spelling(entry)); err != nil {
			return err
		}
	}
	if !t.byteLevel {
		return t.loadCharacters(f)
	}
	if t.direct {
		t.vocab = make(map[string]int32, len(vocab))
		for entry, id := range vocab {
			if !strings.ContainsFunc(entry, func(r rune) bool { _, ok := runeBytes[r]; return !ok }) {
				t.vocab[bytesOf(entry)] = int32(id)
			}
		}
	}
	for b, r := range byteRunes {
		if b == 0xc0 || b == 0xc1 || b >= 0xf5 {
			continue // never part of UTF-8, and GPT-NeoX has no token for them
		}
		id, ok := vocab[string(r)]
		if !ok {
			return fmt.Errorf("model.vocab has no token %q for byte %d: not a byte-level vocabulary", string(r), b)
		}
		t.bytes[b] = int32(id)
	}
	return nil
}

// loadCharacters sets what a vocabulary of characters needs: itself, its bytes and its unknown token.
func (t *bpe) loadCharacters(f *tokenizerFile) error {
	t.vocab = make(map[string]int32, len(f.Model.Vocab))
	for entry, id := range f.Model.Vocab {
		t.vocab[entry] = int32(id)
	}
	for b := range t.bytes {
		t.bytes[b] = -1
		if id, ok := t.vocab[fmt.Sprintf("<0x%02X>", b)]; ok && f.Model.ByteFallback {
			t.bytes[b] = id
		}
	}
	if u := f.Model.Unknown; u != nil {
		id, ok := t.vocab[*u]
		if !ok {
			return fmt.Errorf("model.unk_token is %.40q, which is not in model.vocab", *u)
		}
		t.unknown = id
	}
	return nil
}

func (t *bpe) loadMerges(f *tokenizerFile) error {
	t.merges = make(map[uint64]merge, len(f.Model.Merges))
	for rank, message := range f.Model.Merges {
		var pair []string
		var joined string
		if err := json.Unmarshal(message, &joined); err == nil {
			pair = strings.Split(joined, " ")
		} else if err := json.Unmarshal(message, &pair); err != nil {
			return fmt.Errorf("model.merges[%d] is neither a text nor a pair of texts", rank)
		}
		if len(pair) != 2 {
			return fmt.Errorf("model.merges[%d] has %d parts, want 2", rank, len(pair))
		}
		var ids [3]int
		for i, entry := range []string{pair[0], pair[1], pair[0] + pair[1]} {
			id, ok := f.Model.Vocab[entry]
			if !ok {
				return fmt.Errorf("model.merges[%d]: %.40q is not in model.vocab", rank, entry)
			}
			ids[i] = id
		}
		key := pairKey(int32(ids[0]), int32(ids[1]))
		if _, twice := t.merges[key]; twice {
			return fmt.Errorf("model.merges[%d] repeats the pair %.40q %.40q", rank, pair[0], pair[1])
		}
		t.merges[key] = merge{int32(rank), int32(ids[2])}
	}
	return nil
}

// ends are tokens that end a document, where no tokenizer_config.json says which does.
var ends = []string{"</s>", "<eos>", "<|end_of_text|>"}

func (t *bpe) loadAdded(f *tokenizerFile) error {
	limit := 2*(len(f.Model.Vocab)+len(f.AddedTokens)) + 1024
	for i, a := range f.AddedTokens {
		switch {
		case a.ID == nil || *a.ID >= limit:
			return fmt.Errorf("added_tokens[%d]: id is missing or beyond twice the number of tokens", i)
		case a.Content == "" || len(a.Content) > maxAddedText || !utf8.ValidString(a.Content):
			return fmt.Errorf("added_tokens[%d]: content has %d bytes, must have 1 to %d", i, len(a.Content), maxAddedText)
		case a.SingleWord || a.LStrip || a.RStrip:
			return fmt.Errorf("added_tokens[%d] %.40q: single_word, lstrip and rstrip must be false", i, a.Content)
		}
		id, content := *a.ID, a.Content
		if own, ok := f.Model.Vocab[content]; id >= 0 && id < len(t.known) && t.known[id] && (!ok || own != id) {
			return fmt.Errorf("added_tokens[%d] %.40q: id %d belongs to another token", i, content, id)
		}
		if err := t.set(id, content); err != nil {
			return err
		}
		into := t.raw
		if a.Normalized {
			into = t.normal
			for _, n := range t.whole.normalize {
				content = n(content)
			}
			if content == "" {
				return fmt.Errorf("added_tokens[%d]: nothing is left of %.40q once it is normalised", i, a.Content)
			}
		}
		if !into.insert(content, id) {
			return fmt.Errorf("added_tokens[%d]: %.40q is added twice", i, content)
		}
		if a.Content == "<|endoftext|>" || t.eos < 0 && slices.Contains(ends, a.Content) {
			t.eos = id
		}
	}
	return nil
}
