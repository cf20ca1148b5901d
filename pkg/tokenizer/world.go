package tokenizer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// world is RWKV's tokenizer: a list of byte strings, of which the longest that the text begins with is always taken.
type world struct {
	name  string
	texts []string
	known []bool
	trie  *matcher
}

// ParseWorld reads a list of words as published with RWKV models (rwkv_vocab_v20230424.txt): on each line an id, a Python literal of
// text or bytes, and its length in bytes. Every single byte must be there, so that every text has ids. The id 0, which no word has,
// ends a document.
func ParseWorld(content []byte, name string) (Tokenizer, error) {
	t := &world{name: name, trie: newMatcher()}
	t.texts, t.known = []string{""}, []bool{true}
	for n, line := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n") {
		if err := t.line(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, n+1, err)
		}
	}
	for b := range 256 {
		if !t.trie.first[b] || !t.trie.ends(string([]byte{byte(b)})) {
			return nil, fmt.Errorf("%s: the byte %d is missing: not a list of words of RWKV", name, b)
		}
	}
	return t, nil
}

func (t *world) line(line string) error {
	first, last := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ' ')
	if first < 0 || last <= first {
		return fmt.Errorf("%.60q is not an id, a literal and a length", line)
	}
	id, err := strconv.Atoi(line[:first])
	if err != nil || id < 1 || id >= maxVocab || id > 2*len(t.texts)+1024 {
		return fmt.Errorf("the id %.20q must be a whole number from 1, not far beyond the number of lines", line[:first])
	}
	text, err := literal(line[first+1 : last])
	if err != nil {
		return err
	}
	if length, err := strconv.Atoi(line[last+1:]); err != nil || length != len(text) || length == 0 {
		return fmt.Errorf("%.60q has %d bytes, the line says %.20q", text, len(text), line[last+1:])
	}
	for len(t.texts) <= id {
		t.texts, t.known = append(t.texts, ""), append(t.known, false)
	}
	if t.known[id] {
		return fmt.Errorf("the id %d comes twice", id)
	}
	if t.texts[id], t.known[id] = text, true; !t.trie.insert(text, id) {
		return fmt.Errorf("%.60q comes twice", text)
	}
	return nil
}

// literal reads a literal of Python, 'text' or b'bytes'.
func literal(s string) (string, error) {
	body, isBytes := strings.CutPrefix(s, "b")
	if len(body) < 2 || body[0] != '\'' && body[0] != '"' || body[len(body)-1] != body[0] {
		return "", fmt.Errorf("%.60q is not a literal of Python", s)
	}
	quote := body[0]
	body = body[1 : len(body)-1]
	var out bytes.Buffer
	for len(body) > 0 {
		if body[0] == quote {
			return "", fmt.Errorf("%.60q has a quote inside", s)
		}
		if body[0] != '\\' {
			out.WriteByte(body[0])
			body = body[1:]
			continue
		}
		r, size, raw, err := escape(body)
		if err != nil || r > utf8.MaxRune || isBytes && !raw && r > 255 {
			return "", fmt.Errorf("%.60q: the escape %.12q is not read", s, body)
		}
		if isBytes {
			out.WriteByte(byte(r))
		} else {
			out.WriteRune(r)
		}
		body = body[size:]
	}
	return out.String(), nil
}

// escape reads the escape sequence that s begins with: its value and length, and whether it is one of \x.
func escape(s string) (r rune, size int, raw bool, err error) {
	if len(s) < 2 {
		return 0, 0, false, fmt.Errorf("cut")
	}
	if i := strings.IndexByte(`\'"ntrabfv0`, s[1]); i >= 0 {
		return rune("\\'\"\n\t\r\a\b\f\v\x00"[i]), 2, false, nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if digits == 0 || len(s) < 2+digits {
		return 0, 0, false, fmt.Errorf("unknown")
	}
	n, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	return rune(n), 2 + digits, s[1] == 'x', err
}

func (t *world) Encode(text string) ([]int, error) {
	if err := valid(text); err != nil {
		return nil, err
	}
	ids := make([]int, 0, len(text)/3+8)
	t.trie.cut(text, func(id int) { ids = append(ids, id) }, func(string) {}) // every byte is a word: nothing is left over
	return ids, nil
}

func (t *world) Decode(ids []int) (string, error) { return decode(ids, t.texts, t.known) }
func (t *world) Vocab() int                       { return len(t.texts) }
func (t *world) EOS() int                         { return 0 }
func (t *world) Name() string                     { return t.name }
