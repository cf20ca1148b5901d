package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stuffed/pkg/atomic"
)

const (
	maxFile      = 64 << 20 // bytes of a tokenizer.json
	maxVocab     = 1 << 20  // ids
	maxAddedText = 1 << 10  // bytes of an added token
)

// Open reads a tokenizer.json of the byte-level BPE family with the GPT-2 split and no or NFC normalisation, as that of GPT-NeoX-20B.
// Anything that would change the ids and is not understood is an error.
func Open(path string) (Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	content, err := atomic.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	t, err := Parse(content, strings.TrimSuffix(filepath.Base(path), ".json"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// In reports whether a folder has a tokenizer's file.
func In(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "tokenizer.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

type stage struct {
	Type           string  `json:"type"`
	AddPrefixSpace bool    `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Normalizers    []stage `json:"normalizers"`
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
	AddedTokens  []addedToken `json:"added_tokens"`
	Normalizer   *stage       `json:"normalizer"`
	PreTokenizer *stage       `json:"pre_tokenizer"`
	Decoder      *stage       `json:"decoder"`
	Model        struct {
		Type         string            `json:"type"`
		Dropout      *float64          `json:"dropout"`
		Prefix       string            `json:"continuing_subword_prefix"`
		Suffix       string            `json:"end_of_word_suffix"`
		ByteFallback bool              `json:"byte_fallback"`
		IgnoreMerges bool              `json:"ignore_merges"`
		Vocab        map[string]int    `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"`
	} `json:"model"`
}

// Parse reads the content of a tokenizer.json; see [Open]. name becomes the tokenizer's name.
func Parse(content []byte, name string) (Tokenizer, error) {
	var file tokenizerFile
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if err := file.check(); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t := &bpe{name: name, nfc: file.Normalizer != nil, raw: newMatcher(), normal: newMatcher(), eos: -1}
	for _, load := range []func(*tokenizerFile) error{t.loadVocab, t.loadMerges, t.loadAdded} {
		if err := load(&file); err != nil {
			return nil, fmt.Errorf("tokenizer.json: %w", err)
		}
	}
	return t, nil
}

func (f *tokenizerFile) check() error {
	n := f.Normalizer
	if n != nil && n.Type == "Sequence" && len(n.Normalizers) == 1 {
		n = &n.Normalizers[0]
	}
	p, m := f.PreTokenizer, f.Model
	switch {
	case n != nil && n.Type != "NFC":
		return fmt.Errorf("normalizer is %q, only NFC or none is read", n.Type)
	case p == nil || p.Type != "ByteLevel" || p.AddPrefixSpace || p.UseRegex != nil && !*p.UseRegex:
		return fmt.Errorf("pre_tokenizer must be ByteLevel with its own split and add_prefix_space false")
	case f.Decoder != nil && f.Decoder.Type != "ByteLevel":
		return fmt.Errorf("decoder is %q, only ByteLevel is read", f.Decoder.Type)
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("model.type is %q, only BPE is read", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("model.dropout is %g, only none is read", *m.Dropout)
	case m.Prefix != "" || m.Suffix != "" || m.ByteFallback || m.IgnoreMerges:
		return fmt.Errorf("model: continuing_subword_prefix, end_of_word_suffix, byte_fallback and ignore_merges must be unset")
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
		if err := t.set(id, bytesOf(entry)); err != nil {
			return err
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
			if t.nfc {
				content = norm.NFC.String(content)
			}
		}
		if !into.insert(content, id) {
			return fmt.Errorf("added_tokens[%d]: %.40q is added twice", i, content)
		}
		if content == "<|endoftext|>" || t.eos < 0 && (content == "</s>" || content == "<eos>") {
			t.eos = id
		}
	}
	return nil
}
